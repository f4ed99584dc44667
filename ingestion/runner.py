"""Run an import with worker processes on this machine, until it ends or is paused."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from django.db import connection

from ingestion import states
from ingestion.clock import utc_now
from ingestion.errors import ImportNotPausableError
from ingestion.models import Import
from ingestion.processes import Crew, patiently
from ingestion.selectors import Progress, import_progress
from ingestion.services import import_pause, import_start, job_of
from ingestion.stages.certify import import_certify

TICK_SECONDS: Final = 0.02
SHOW_SECONDS: Final = 0.25


class ImportRunner:
    """
    Takes one import to its end.

    Args:
        workers: number of worker processes.
        identities: by source number, what the files looked like when they were opened.
        show: called some times a second with the progress.
        interrupted: asked often; True pauses the import.
    """

    def __init__(
        self,
        *,
        import_id: int,
        workers: int,
        identities: dict[int, Any],
        show: Callable[[Progress], None],
        interrupted: Callable[[], bool],
    ) -> None:
        self._import_id = import_id
        self._workers = workers
        self._identities = identities
        self._show = show
        self._interrupted = interrupted
        self._started = time.monotonic()

    def run(self, *, started: float | None = None) -> dict[str, Any]:
        """
        Start (or go on with) the import, and wait until it ends or is paused.

        Args:
            started: `time.monotonic()` from which the time is counted; now, if not given.
        Returns:
            the certificate; of a paused import what would be certified now.
        """
        self._started = self._started if started is None else started
        import_start(import_id=self._import_id, now=utc_now())
        job = job_of(Import.objects.get(pk=self._import_id))
        connection.close()
        crew = Crew(job=job, workers=self._workers, identities=self._identities)
        crew.start()
        try:
            patiently(lambda: self._watch(crew), what="command")
        finally:
            crew.dismiss()
        return self._certify()

    def _watch(self, crew: Crew) -> None:
        shown = 0.0
        while not crew.finished:
            crew.tend()
            if self._interrupted():
                self._pause()
                return
            if time.monotonic() - shown >= SHOW_SECONDS:
                shown = time.monotonic()
                progress = import_progress(import_id=self._import_id)
                self._show(progress)
                if progress.state != states.RUNNING:
                    return
            time.sleep(TICK_SECONDS)

    def _pause(self) -> None:
        # It may have ended a moment ago: then its certificate says how.
        with suppress(ImportNotPausableError):
            import_pause(import_id=self._import_id)

    def _certify(self) -> dict[str, Any]:
        certificate: dict[str, Any] = {}

        def certify() -> None:
            seconds = time.monotonic() - self._started
            certificate.update(import_certify(import_id=self._import_id, now=utc_now(), active_seconds=seconds))

        patiently(certify, what="command")
        return certificate
