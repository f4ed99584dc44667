"""What became of one record."""

import json
import sys
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandParser
from rest_framework.utils.encoders import JSONEncoder

from ingestion.console.failures import reported
from ingestion.models import Import
from reports.tracing import record_trace
from reports.tracing.errors import RecordNotFoundError
from reports.tracing.text import trace_text
from reports.tracing.view import trace_document


class Command(BaseCommand):
    requires_system_checks = (Tags.security,)  # the others load every address, which takes a second
    help = (
        "Tell what became of one record of an import: its place in the file, its outcome, its order and line, and "
        "the order's events with their places in Kafka. Exit status: 0 found, 2 there is none."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("import_id", type=int, metavar="IMPORT", help="number of the import")
        parser.add_argument("record", type=int, metavar="RECORD", help="number of the record; the first one is 1")
        parser.add_argument("--json", action="store_true", help="as GET /imports/{id}/records/{n} tells it")

    def handle(self, **options: Any) -> None:
        with reported():
            raise SystemExit(self._trace(options))

    def _trace(self, options: dict[str, Any]) -> int:
        owner = Import.objects.filter(pk=options["import_id"]).first()
        if owner is None:
            print(f"There is no import {options['import_id']}.", file=sys.stderr)
            return 2
        try:
            trace = record_trace(owner=owner, record=options["record"])
        except RecordNotFoundError as error:
            print(error, file=sys.stderr)
            return 2
        if options["json"]:
            print(json.dumps(trace_document(trace), cls=JSONEncoder, indent=2, ensure_ascii=False))
        else:
            print(trace_text(trace))
        return 0
