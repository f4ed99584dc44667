"""Check imports against the database."""

import json
import sys
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandParser

from ingestion.console.failures import reported
from ingestion.errors import ImportNotFoundError
from ingestion.models import Import
from ingestion.verification import Verdict, import_verify


class Command(BaseCommand):
    requires_system_checks = (Tags.security,)  # the others load every address, which takes a second
    help = (
        "Check that what an import wrote is still there as it was loaded: its ledger, its signed certificate, "
        "its rejects, and every order and line. Users and items are only checked to exist. "
        "Rows changed later by a known change are listed apart. "
        "Exit status: 0 balanced, 1 lost or altered, 2 usage."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("import_id", nargs="?", type=int, metavar="ID")
        parser.add_argument("--all", action="store_true", help="every import")
        parser.add_argument(
            "--json", action="store_true", help="one JSON object (with --all: a list) on standard output"
        )

    def handle(self, **options: Any) -> None:
        with reported():
            raise SystemExit(self._check(options))

    def _check(self, options: dict[str, Any]) -> int:
        if options["all"] == (options["import_id"] is not None):
            print("Give the id of an import, or --all.", file=sys.stderr)
            return 2
        ids = (
            list(Import.objects.order_by("pk").values_list("pk", flat=True))
            if options["all"]
            else [options["import_id"]]
        )
        try:
            verdicts = [import_verify(import_id=import_id) for import_id in ids]
        except ImportNotFoundError as error:
            print(error, file=sys.stderr)
            return 2
        if options["json"]:
            told = [verdict.as_dict() for verdict in verdicts]
            print(json.dumps(told if options["all"] else told[0], indent=2, ensure_ascii=False))
        else:
            print("\n".join(_text(verdict) for verdict in verdicts) or "There are no imports.")
        return 0 if all(verdict.balanced for verdict in verdicts) else 1


def _text(verdict: Verdict) -> str:
    checked = ", ".join(f"{number:,} {kind}" for kind, number in verdict.checked.items())
    title = "balanced" if verdict.balanced else "LOST OR ALTERED"
    lines = [f"Import {verdict.import_id} ({verdict.state}): {title}. Checked {checked}."]
    lines += [f"  problem: {problem}" for problem in verdict.problems]
    if verdict.changed_since:
        changed = ", ".join(f"{number:,} {kind}" for kind, number in verdict.changed_since.items())
        lines.append(f"  changed since by a later version or import: {changed}")
    lines += [f"  note: {note}" for note in verdict.notes]
    return "\n".join(lines)
