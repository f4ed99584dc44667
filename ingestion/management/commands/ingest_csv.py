"""Load CSV files into the database, accounting for every record."""

from argparse import ArgumentTypeError
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandParser

from ingestion.console.ingest import IngestOptions, at_least, ingest, mapping_option


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= value <= 1:
        raise ArgumentTypeError("must be from 0 to 1")
    return value


class Command(BaseCommand):
    requires_system_checks = (Tags.security,)  # the others load every address, which takes a second
    help = (
        "Load one or more CSV files (plain, .gz, .zst, .zip, or - for standard input) as one import. Running the same "
        "command again goes on with an interrupted import and recognises a finished one. "
        "Exit status: 0 all loaded, 3 completed with rejects, 1 failed, 2 usage, 130 paused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("sources", nargs="+", metavar="SOURCE", help="files in order; - is standard input")
        parser.add_argument("--profile", default="sluice", metavar="NAME|FILE", help="built-in profile or TOML file")
        parser.add_argument(
            "--map", action="append", type=mapping_option, default=[], metavar="FIELD=COLUMN", dest="mapping"
        )
        parser.add_argument("--on-conflict", choices=["skip", "update", "error"], help="orders that exist already")
        parser.add_argument("--workers", type=at_least(1), metavar="N", help="worker processes; default: CPUs")
        parser.add_argument("--max-errors", type=at_least(0), metavar="N", help="stop after N rejected records")
        parser.add_argument("--max-error-ratio", type=_ratio, metavar="R", help="stop above this part of rejects; 0.5")
        parser.add_argument("--dry-run", action="store_true", help="predict the outcome, write nothing")
        parser.add_argument("--force", action="store_true", help="import again even if these bytes were imported")
        parser.add_argument("--rejects", metavar="DIR", help="where failed.csv and errors.csv go")
        parser.add_argument("--parent", type=at_least(1), metavar="ID", help="these are mended rejects of that import")
        parser.add_argument(
            "--json", action="store_true", help="the certificate on standard output, all else on stderr"
        )

    def handle(self, **options: Any) -> None:
        chosen = IngestOptions(
            sources=options["sources"],
            profile=options["profile"],
            mapping=dict(options["mapping"]),
            on_conflict=options["on_conflict"],
            workers=options["workers"],
            max_errors=options["max_errors"],
            max_error_ratio=options["max_error_ratio"],
            dry_run=options["dry_run"],
            force=options["force"],
            rejects=options["rejects"],
            parent=options["parent"],
            json=options["json"],
        )
        raise SystemExit(ingest(chosen))
