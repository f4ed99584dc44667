"""
`python -m benchmarks.ten_gb` (`make bench-10gb`): one big file; rate over time, memory over time, and the proof.

The file is made, loaded with two workers into a fresh database, and verified. The rate of each tenth comes from the
chunks' own rows: when each was merged, and how many records it had.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from benchmarks.databases import CHECKOUT, Database, migrated_template  # noqa: E402 - Django first
from benchmarks.document import write_section  # noqa: E402
from benchmarks.machine import machine_facts  # noqa: E402
from benchmarks.processes import Finished, run  # noqa: E402
from benchmarks.samples import SampleFile, make_sample  # noqa: E402
from benchmarks.tenths import Tenth, tenths  # noqa: E402
from ingestion.sample import SampleError, SampleSpec  # noqa: E402
from ingestion.sample.sizing import parse_size, rows_for_bytes  # noqa: E402

MIB: Final = 1 << 20
GOAL: Final = 0.8
# The file itself, and tables, indexes and write-ahead log made of it.
DISK_PER_BYTE: Final = 5
HEADER: Final = ("tenth", "seconds", "records/s", "heaviest process")


@dataclass(frozen=True)
class Outcome:
    """What was seen of one load."""

    sample: SampleFile
    certificate: dict[str, Any]
    command: Finished
    parts: list[Tenth]
    verified: bool
    verify_seconds: float
    facts: list[str]

    @property
    def last_to_first(self) -> float:
        """The rate of the last tenth over that of the first."""
        return self.parts[-1].rate / self.parts[0].rate

    def rows(self) -> list[tuple[str, ...]]:
        """A line for each tenth."""
        return [
            (
                str(number),
                f"{part.stop - part.start:.1f}",
                f"{part.rate:,.0f}",
                f"{self.command.memory.highest_between(part.start, part.stop) / MIB:,.0f} MiB",
            )
            for number, part in enumerate(self.parts, 1)
        ]

    def findings(self) -> list[str]:
        """What it comes to, as sentences."""
        certificate = self.certificate
        seconds = float(certificate["seconds"])
        peaks = ", ".join(f"{peak / MIB:,.0f}" for peak in sorted(self.command.memory.peaks.values(), reverse=True))
        return [
            f"{self.sample.size_bytes:,} bytes, {certificate['records']:,} records in {seconds:,.1f} s: "
            f"{certificate['records'] / seconds:,.0f} records/s, {self.sample.size_bytes / seconds / 1e6:.1f} MB/s",
            f"last tenth ÷ first tenth: {self.last_to_first:.2f} (goal: ≥ {GOAL})",
            f"peaks of the processes: {peaks} MiB (goal: ≤ 512 MiB a worker)",
            f"ended {certificate['state']}; verify_import: {'balanced' if self.verified else 'NOT BALANCED'}, "
            f"in {self.verify_seconds:,.1f} s",
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make, load, verify, print, and write the section of docs/benchmarks.md."""
    options = _parse(arguments)
    try:
        size = parse_size(options.bytes)
        _refuse_full_disk(options.directory, size)
    except SampleError as error:
        print(error, file=sys.stderr)
        return 2
    outcome = _measure(options.directory, size=size, workers=options.workers)
    for cells in (HEADER, *outcome.rows()):
        print("  ".join(cell.rjust(16) for cell in cells))
    print("\n".join(outcome.findings()))
    if not options.no_document:
        command = "python -m benchmarks.ten_gb " + " ".join(sys.argv[1:] if arguments is None else arguments)
        write_section("bench-10gb", _section(outcome, command=command.strip(), workers=options.workers))
    return 0 if outcome.verified else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ten_gb", description=__doc__)
    parser.add_argument("--bytes", default="10G", metavar="SIZE", help="size of the file (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="default %(default)s")
    parser.add_argument(
        "--directory",
        type=Path,
        default=CHECKOUT / ".local" / "bench",
        help="where the file is put for the time being (default: .local/bench in the checkout)",
    )
    parser.add_argument("--no-document", action="store_true", help="leave docs/benchmarks.md alone")
    return parser.parse_args(arguments)


def _refuse_full_disk(directory: Path, size: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free
    if free < DISK_PER_BYTE * size:
        raise SampleError(
            f"{free / 1e9:.0f} GB are free, and {DISK_PER_BYTE * size / 1e9:.0f} GB are needed for file, tables and "
            "write-ahead log; choose fewer --bytes or another --directory"
        )


def _measure(directory: Path, *, size: int, workers: int) -> Outcome:
    with tempfile.TemporaryDirectory(dir=directory) as temporary, migrated_template() as template:
        print("making the file…", flush=True)
        sample = make_sample(Path(temporary), records=rows_for_bytes(size, spec=SampleSpec(rows=1)))
        with template.clone("ten_gb") as database:
            command = _load(database, sample, workers=workers, rejects=Path(temporary) / "rejects")
            certificate = json.loads(command.stdout)
            parts = _parts(database, certificate["import_id"])
            verified, seconds = _verify(database, certificate["import_id"])
            facts = machine_facts(database)
    return Outcome(sample, certificate, command, parts, verified, seconds, facts)


def _load(database: Database, sample: SampleFile, *, workers: int, rejects: Path) -> Finished:
    options = ["--workers", str(workers), "--json", "--rejects", str(rejects)]
    command = [sys.executable, "manage.py", "ingest_csv", str(sample.path.resolve()), *options]
    return run(command, environment=database.environment, directory=CHECKOUT, show_stderr=True)


def _parts(database: Database, import_id: int) -> list[Tenth]:
    ((started,),) = database.query(
        f"SELECT extract(epoch FROM started_at)::float8 FROM ingestion_import WHERE id = {int(import_id)}"
    )
    merged = database.query(
        "SELECT extract(epoch FROM merged_at)::float8, records FROM ingestion_chunk "
        f"WHERE import_id = {int(import_id)} AND merged_at IS NOT NULL"
    )
    return tenths([(float(at), int(records)) for at, records in merged], started=float(started))


def _verify(database: Database, import_id: int) -> tuple[bool, float]:
    command = [sys.executable, "manage.py", "verify_import", str(import_id)]
    done = run(command, environment=database.environment, directory=CHECKOUT, allowed=(0, 1), show_stderr=True)
    return done.status == 0, done.seconds


def _section(outcome: Outcome, *, command: str, workers: int) -> str:
    table = [HEADER, ("---:",) * len(HEADER), *outcome.rows()]
    return "\n".join(
        [
            f"`{command}`: {workers} workers, a fresh database with the migrated tables and indexes.",
            "",
            *(f"- {line}" for line in outcome.facts),
            "",
            *("| " + " | ".join(cells) + " |" for cells in table),
            "",
            *(f"- {line}" for line in outcome.findings()),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
