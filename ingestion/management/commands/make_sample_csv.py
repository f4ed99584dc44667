"""`manage.py make_sample_csv`: an order file of any size, with known defects if wished for."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ingestion.sample import KINDS, Manifest, SampleError, SampleSpec, open_sink, write_sample
from ingestion.sample.sizing import parse_size, rows_for_bytes
from ingestion.sample.spec import DEFAULT_COLUMNS, ENCODINGS, NEWLINES, QUOTINGS
from ingestion.sample.wishes import with_defects

USAGE_ERROR: Final = 2
FAILED: Final = 1
DEFAULT_ROWS: Final = 100_000
DELIMITER_NAMES: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
SECONDS_BETWEEN_LINES: Final = 2.0


class Command(BaseCommand):
    """Make a sample file."""

    help = (
        "Write a CSV of made-up orders. The same options always give the same bytes. With --defects, records that an "
        "import must reject, ignore or read with care are planted, and --manifest says where and what has to come out."
    )
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("out", metavar="OUT", help="file to write (.gz, .zst, .zip: compressed); - is stdout")
        size = parser.add_mutually_exclusive_group()
        size.add_argument(
            "--rows", type=int, metavar="N", help=f"records, planted ones included (default {DEFAULT_ROWS})"
        )
        size.add_argument("--bytes", metavar="SIZE", help="about this size instead, such as 500M or 10G")
        parser.add_argument("--seed", type=int, default=0, metavar="S", help="another seed, another file (default 0)")
        parser.add_argument(
            "--defects", default="", metavar="KIND[:COUNT],…", help=f"what to plant: all, or any of {', '.join(KINDS)}"
        )
        parser.add_argument("--manifest", type=Path, metavar="FILE", help="JSON: what was planted, what must come out")
        parser.add_argument(
            "--columns", default=",".join(DEFAULT_COLUMNS), metavar="A,B,…", help="columns (default: %(default)s)"
        )
        parser.add_argument("--lines-per-order", type=int, default=2, metavar="K", help="default %(default)s")
        parser.add_argument("--records-per-user", type=int, default=10, metavar="K", help="default %(default)s")
        parser.add_argument(
            "--items", type=int, default=10_000, metavar="N", help="to choose from (default %(default)s)"
        )
        parser.add_argument("--delimiter", choices=[*DELIMITER_NAMES, *DELIMITER_NAMES.values()], default="comma")
        parser.add_argument("--encoding", choices=ENCODINGS, default="utf-8")
        parser.add_argument("--newline", choices=NEWLINES, default="lf")
        parser.add_argument("--quoting", choices=QUOTINGS, default="minimal")

    def handle(self, *args: str, **options: Any) -> None:
        """Write the file, its manifest, and one line about it."""
        started = time.monotonic()
        try:
            spec = _spec(options)
            with self._sink(options["out"]) as sink:
                manifest = write_sample(spec, sink, progress=self._progress(spec.rows))
            if options["manifest"]:
                options["manifest"].write_text(manifest.as_json(), encoding="utf-8")
        except SampleError as error:
            raise CommandError(str(error), returncode=USAGE_ERROR) from error
        except OSError as error:
            raise CommandError(f"the file could not be written: {error}", returncode=FAILED) from error
        report = self.stderr if options["out"] == "-" else self.stdout
        report.write(_summary(manifest, out=options["out"], seconds=time.monotonic() - started), style_func=str)

    @contextmanager
    def _sink(self, out: str) -> Iterator[IO[bytes]]:
        if out != "-":
            with open_sink(Path(out)) as sink:
                yield sink
            return
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()

    def _progress(self, rows: int) -> Callable[[int, int], None]:
        """A line on stderr every two seconds."""
        started = said = time.monotonic()

        def report(records: int, size: int) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said >= SECONDS_BETWEEN_LINES:
                said = now
                rate = size / 1e6 / (now - started)
                self.stderr.write(
                    f"{records / rows:4.0%}  {records:,} records, {size / 1e6:,.0f} MB, {rate:,.0f} MB/s",
                    style_func=str,
                )

        return report


def _spec(options: dict[str, Any]) -> SampleSpec:
    spec = SampleSpec(
        rows=DEFAULT_ROWS if options["rows"] is None else options["rows"],
        seed=options["seed"],
        columns=tuple(name.strip() for name in options["columns"].split(",")),
        lines_per_order=options["lines_per_order"],
        records_per_user=options["records_per_user"],
        items=options["items"],
        delimiter=DELIMITER_NAMES.get(options["delimiter"], options["delimiter"]),
        encoding=options["encoding"],
        newline=NEWLINES[options["newline"]],
        quoting=options["quoting"],
    )
    if options["bytes"] is not None:
        size = parse_size(options["bytes"])
        spec = SampleSpec(**{**vars(spec), "rows": rows_for_bytes(size, spec=spec)})
    return with_defects(spec, options["defects"])


def _summary(manifest: Manifest, *, out: str, seconds: float) -> str:
    expected = manifest.expected
    fate = f"{expected.loaded:,} to load, {expected.rejected:,} to reject, {sum(expected.ignored.values()):,} to ignore"
    return f"{out}: {expected.records:,} records, {manifest.bytes:,} bytes in {seconds:.1f} s ({fate})"
