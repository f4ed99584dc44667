"""
`python -m benchmarks.ingest` (`make bench`): ours, the limit, and others, interleaved, on fresh databases.

Every contender loads a file of the same shape into a clone of one migrated database, with the same tables, indexes
and durability. One round measures each of them once; the rounds are repeated and the median counts.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from benchmarks.contenders.bulk_create import bulk_create  # noqa: E402 - Django first
from benchmarks.contenders.by_hand import by_hand  # noqa: E402
from benchmarks.contenders.contender import Contender, Measurement, check_rows  # noqa: E402
from benchmarks.contenders.import_export import import_export  # noqa: E402
from benchmarks.contenders.limit import extract, limit  # noqa: E402
from benchmarks.contenders.ours import ours  # noqa: E402
from benchmarks.contenders.pgloader import pgloader  # noqa: E402
from benchmarks.databases import Template, migrated_template, working_directory  # noqa: E402
from benchmarks.document import write_section  # noqa: E402
from benchmarks.machine import machine_facts  # noqa: E402
from benchmarks.results import Results  # noqa: E402
from benchmarks.samples import SampleFile, make_sample  # noqa: E402

# Without an import to take the number from, batches of about 12 MiB of the file.
RECORDS_PER_BATCH = 92_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write it into docs/benchmarks.md."""
    options = _parse(arguments)
    with working_directory() as directory, migrated_template() as template:
        samples = {
            records: make_sample(directory, records=records)
            for records in sorted({options.rows, options.bulk_rows, options.import_export_rows})
        }
        rows = _rows_of_the_limit(template, samples[options.rows], directory, reader=options.rows_from)
        contenders = _contenders(options, rows)
        results = _measure(template, contenders, samples, rounds=options.runs)
        facts = machine_facts(template.database)
        size = samples[options.rows].size_bytes
    print("\n" + results.plain())
    if results.failures:
        print(f"failed: {', '.join(results.failures)}; docs/benchmarks.md is left as it was")
        return 1
    if not options.no_document:
        command = "python -m benchmarks.ingest " + " ".join(sys.argv[1:] if arguments is None else arguments)
        write_section("bench", _section(options, results, facts, size=size, command=command.strip()))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="records of the file (default %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="interleaved rounds (default %(default)s)")
    parser.add_argument("--slow-runs", type=int, default=2, help="rounds of those that take long (default %(default)s)")
    parser.add_argument("--bulk-rows", type=int, default=200_000, help="records for bulk_create (default %(default)s)")
    parser.add_argument("--import-export-rows", type=int, default=5_000, help="records for it (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round with a tenth of the records; no document")
    parser.add_argument("--only", default="", metavar="KEY,…", help="measure only contenders whose key begins so")
    parser.add_argument("--no-document", action="store_true", help="leave docs/benchmarks.md alone")
    parser.add_argument(
        "--rows-from", choices=("ours", "hand"), default="ours", help="who loads the rows that the limit copies"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.rows, options.bulk_rows, options.import_export_rows = 200_000, 20_000, 1_000
        options.runs = options.slow_runs = 1
        options.no_document = True
    return options


def _rows_of_the_limit(template: Template, sample: SampleFile, directory: Path, *, reader: str) -> Path:
    """Load the file once, and write its rows as COPY files in batches as large as our chunks."""
    rows = directory / "rows"
    rows.mkdir()
    loader = (
        ours(workers=2, records=0, rounds=1) if reader == "ours" else by_hand(foreign_keys=False, records=0, rounds=1)
    )
    with template.clone("rows") as database:
        loader.load(database, sample)
        check_rows(loader, database, sample)
        chunks = database.count("ingestion_chunk") or -(-sample.expected.records // RECORDS_PER_BATCH)
        extract(database, rows, batches=chunks)
    return rows


def _contenders(options: argparse.Namespace, rows: Path) -> list[Contender]:
    big, often, seldom = options.rows, options.runs, options.slow_runs
    everyone = [
        limit(rows, connections=2, records=big, rounds=often),
        ours(workers=2, records=big, rounds=often),
        limit(rows, connections=1, records=big, rounds=often),
        ours(workers=1, records=big, rounds=often),
        by_hand(foreign_keys=False, records=big, rounds=seldom),
        by_hand(foreign_keys=True, records=big, rounds=seldom),
        pgloader(records=big, rounds=seldom),
        bulk_create(records=options.bulk_rows, rounds=seldom),
        import_export(records=options.import_export_rows, rounds=seldom),
    ]
    wanted = tuple(filter(None, options.only.split(",")))
    return [one for one in everyone if not wanted or one.key.startswith(wanted)]


def _measure(
    template: Template, contenders: list[Contender], samples: dict[int, SampleFile], *, rounds: int
) -> Results:
    results = Results(headline="ours2")
    for contender in contenders:
        if contender.obstacle:
            print(f"{contender.label}: left out, {contender.obstacle}", flush=True)
    for number in range(rounds):
        for contender in contenders:
            if contender.obstacle is None and number < contender.rounds:
                measurement = _one_run(
                    template, contender, samples[contender.records], label=f"{contender.key}_{number}"
                )
                results.add(contender, measurement)
                print(f"round {number + 1}: {contender.label}: {measurement.rate:,.0f} records/s", flush=True)
    return results


def _one_run(template: Template, contender: Contender, sample: SampleFile, *, label: str) -> Measurement:
    with template.clone(label) as database:
        measurement = contender.load(database, sample)
        check_rows(contender, database, sample)
    return measurement


def _section(options: argparse.Namespace, results: Results, facts: list[str], *, size: int, command: str) -> str:
    one_limit, two_limit = (_goal(results, key) for key in ("ours1", "ours2"))
    by_hand_rate, own_rate = results.rate("hand_replica"), results.rate("ours2")
    goals = [
        f"time at 2 workers ÷ the limit's at 2 connections: {two_limit} (goal: ≤ 1.25)",
        f"time at 1 worker ÷ the limit's at 1 connection: {one_limit}",
    ]
    if by_hand_rate and own_rate:
        goals.append(f"against the SQL by hand without foreign keys: {own_rate / by_hand_rate:.1f}× (goal: ≥ 3×)")
    return "\n".join(
        [
            f"`{command}`: {options.rows:,} records, {size / options.rows:.0f} bytes each, {options.runs} rounds.",
            "",
            *(f"- {line}" for line in facts),
            "",
            results.markdown(),
            "",
            *(f"- {line}" for line in goals),
            "",
            "Rates are records of the original file per second; ours is the import's own time, from its start to its "
            "certificate. Ratios to the limit are medians of the ratios within a round. Peak is the resident size of "
            "the heaviest process on the client's side (VmHWM, shared libraries included). Each run has a fresh clone "
            "of the migrated database, after a checkpoint, and afterwards its rows are counted.",
        ]
    )


def _goal(results: Results, key: str) -> str:
    contender = next((one for one in results.contenders if one.key == key), None)
    ratio = results.against_limit(contender) if contender else None
    return f"{ratio:.2f}" if ratio else "not measured"


if __name__ == "__main__":
    sys.exit(main())
