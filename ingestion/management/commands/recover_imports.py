"""Find imports that nobody works on, and go on with them."""

import os
import signal
import sys
import threading
from typing import Any

import structlog
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError, connection

from ingestion import states
from ingestion.console.failures import reported
from ingestion.console.ingest import at_least, interruptible
from ingestion.console.progress import make_display
from ingestion.models import Import, Source as SourceRow
from ingestion.reader import ReaderError, Source
from ingestion.runner import ImportRunner
from ingestion.selectors import imports_stalled
from ingestion.steps.claims import steps_waiting
from ingestion.sweeping import sweep

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    requires_system_checks = (Tags.security,)  # the others load every address, which takes a second
    help = (
        "Go on with imports whose workers are gone (a killed command, a restarted machine). Imports of the API are "
        "handed to the task workers; those of ingest_csv run here. With --every it stays, looks again and again, and "
        "only wakes workers. Exit status: 0 nothing was left undone, 1 some import failed or cannot be read here, "
        "130 interrupted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--list", action="store_true", help="only say which imports are stalled")
        parser.add_argument(
            "--every", type=at_least(1), metavar="SECONDS", help="sweep again and again, until SIGTERM; runs nothing"
        )
        parser.add_argument("--workers", type=int, default=None, metavar="N", help="worker processes; default: CPUs")

    def handle(self, **options: Any) -> None:
        if options["every"]:
            _sweep_until_told(every_seconds=options["every"])
            return
        with reported(), interruptible() as interrupted:
            stalled = imports_stalled()
            if options["list"]:
                waiting = sorted({*stalled, *steps_waiting()})
                print("\n".join(f"import {import_id}" for import_id in waiting) or "No import is stalled.")
                raise SystemExit(0)
            sweep()
            workers = options["workers"] or len(os.sched_getaffinity(0))
            ends = [_recover(import_id, workers=workers, interrupted=interrupted) for import_id in stalled]
            if not stalled:
                print("No import is stalled.")
            if states.PAUSED in ends:
                raise SystemExit(130)
            raise SystemExit(0 if all(state in states.SUCCEEDED for state in ends) else 1)


def _sweep_until_told(*, every_seconds: int) -> None:
    """Until SIGTERM or Ctrl-C, which end it at once whatever it waits for: a round may be broken off anywhere."""
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    threading.Thread(target=_sweep_again_and_again, args=[told, every_seconds], daemon=True).start()
    told.wait()


def _sweep_again_and_again(told: threading.Event, every_seconds: int) -> None:
    while True:
        try:
            found = sweep()
            if found:
                log.info("imports_woken", import_ids=found)
        except (DatabaseError, InterfaceError) as error:
            log.warning("sweep_failed", error=str(error).strip())
            connection.close()
        except Exception:
            log.exception("sweep_failed")
        if told.wait(every_seconds):
            return


def _recover(import_id: int, *, workers: int, interrupted: Any) -> str:
    identities = {}
    for row in SourceRow.objects.filter(owner_id=import_id):
        try:
            identities[row.number] = Source.from_descriptor(row.descriptor).identity()
        except ReaderError as error:
            print(f"Import {import_id} cannot go on here: {error}", file=sys.stderr)
            return states.RUNNING
    display = make_display(total_bytes=None)
    runner = ImportRunner(
        import_id=import_id, workers=workers, identities=identities, show=display.show, interrupted=interrupted
    )
    try:
        certificate = runner.run()
    finally:
        display.close()
    state = Import.objects.get(pk=import_id).state
    print(f"Import {import_id}: {state}, {certificate['loaded']:,} loaded, {certificate['rejected']:,} rejected")
    return state
