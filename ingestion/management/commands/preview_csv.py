"""Show what an import would make of a file."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ingestion.console.failures import UsageError, reported, say
from ingestion.console.ingest import at_least, mapping_option
from ingestion.console.preview import preview_text
from ingestion.prepare import open_and_detect
from ingestion.preview import preview
from ingestion.profiles import Profile, load_profile
from ingestion.reader.clean import clean


class Command(BaseCommand):
    help = (
        "Show how a file is written, which columns were found, and its first records as they would be loaded. "
        "Needs no database. With --clean, write all its records as plain RFC 4180 CSV in UTF-8."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE")
        parser.add_argument("--profile", default="sluice", metavar="NAME|FILE", help="built-in profile or TOML file")
        parser.add_argument(
            "--map", action="append", type=mapping_option, default=[], metavar="FIELD=COLUMN", dest="mapping"
        )
        parser.add_argument("--records", type=at_least(0), default=10, metavar="N", help="records to show; 10")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
        parser.add_argument(
            "--clean", metavar="OUT", help="write every record as read to this file; - is standard output"
        )

    def handle(self, **options: Any) -> None:
        with reported(), TemporaryDirectory(prefix="sluice-preview-") as directory:
            profile = load_profile(options["profile"])
            if options["mapping"]:
                profile = profile.with_mapping(dict(options["mapping"]))
            if options["clean"]:
                self._clean(options, profile, Path(directory))
            else:
                self._preview(options, profile, Path(directory))

    def _preview(self, options: dict[str, Any], profile: Profile, directory: Path) -> None:
        seen = preview(options["file"], profile=profile, spool_directory=directory, records=options["records"])
        if options["json"]:
            print(json.dumps(seen.as_dict(), indent=2, ensure_ascii=False))
        else:
            print(preview_text(seen))

    def _clean(self, options: dict[str, Any], profile: Profile, directory: Path) -> None:
        opened = open_and_detect(options["file"], profile=profile, spool_directory=directory)
        if options["clean"] == "-":
            cleaned = clean(opened.source, opened.dialect, sys.stdout.buffer)
        else:
            target = Path(options["clean"])
            if target.exists() and target.samefile(options["file"]):
                raise UsageError(f"{target} is the file to be read; give another name to --clean.")
            partial = target.with_name(target.name + ".part")
            with partial.open("wb") as out:
                cleaned = clean(opened.source, opened.dialect, out)
            partial.replace(target)
        omitted = ", ".join(f"{code} {number:,}" for code, number in sorted(cleaned.omitted.items()))
        ragged = ", ".join(f"{code} {number:,}" for code, number in sorted(cleaned.ragged.items()))
        say(f"{cleaned.written:,} of {cleaned.records:,} records written to {options['clean']}.")
        if ragged:
            say(f"Written with their own number of fields: {ragged}.")
        if omitted:
            say(f"Left out: {omitted}.")
