"""
Chunk work of one process: whose import to work on, slice by slice (ADR 12).

A process works on one import at a time. After a slice it asks the database whose turn it is; it goes on without giving
anything back when it is still the same import's, so fairness costs nothing while nobody waits.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import structlog
from django.db import InterfaceError, OperationalError, connection

from config.kernel.sql import load_queries
from ingestion import dispatch, shutdown
from ingestion.clock import utc_now
from ingestion.models import Import, Source as SourceRow
from ingestion.pressure import Pressure
from ingestion.queue import queue_status
from ingestion.services import job_of
from ingestion.states import ENDED
from ingestion.steps.claims import CERTIFY, worker_name
from ingestion.steps.run import run_steps
from ingestion.worker import ChunkWorker, open_for_work

log = structlog.get_logger(__name__)
queries = load_queries("ingestion", "steps")

SLICE_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = 0.5
"""How long to wait for chunks of an import that is still being planned before looking for another."""
AVOID_SECONDS: Final = 0.3
"""How long to look for others when an import had nothing for us after all."""
FAILED_SECONDS: Final = 30.0
KEPT_WORKERS: Final = 2
"""Imports whose known users and items (24 MiB each) a process remembers."""


def import_to_serve(*, queues: Sequence[str], avoided: Sequence[int] = ()) -> tuple[int, str, int] | None:
    """
    Whose turn it is: (import id, its queue, how many of its chunks can be claimed), or None.

    Args:
        queues: the preferred one first.
        avoided: ids of imports that had nothing for us a moment ago.
    """
    parameters: dict[str, Any] = {"queues": list(queues), "worker": worker_name(), "avoided": list(avoided)}
    with connection.cursor() as cursor:
        cursor.execute(queries.chunks_waiting, parameters)
        row = cursor.fetchone()
    return None if row is None else (row[0], row[1], row[2])


class ChunkWork:
    """
    The chunk work of this process; one thread at a time does it, so that memory is bounded by the process.

    `queues` are those the process listens to, in order of preference.
    """

    def __init__(self) -> None:
        self.queues: tuple[str, ...] = (dispatch.SMALL, dispatch.LARGE)
        self._busy = threading.Lock()
        self._again = False
        self._workers: OrderedDict[int, ChunkWorker] = OrderedDict()
        self._avoided: dict[int, float] = {}

    def run(self) -> None:
        """Work until no import has chunks for us, or the process ends. Returns at once if another thread works."""
        self._again = True
        # Whoever works looks once more after us: it may have looked for the last time just before we were told.
        while self._again and not shutdown.ending.is_set() and self._busy.acquire(blocking=False):
            self._again = False
            self._serve_all()

    def _serve_all(self) -> None:
        try:
            while not shutdown.ending.is_set() and self._serve_one():
                pass
        except (OperationalError, InterfaceError):
            # What was claimed is free with our backend; the next wake-up, or the watch, goes on.
            connection.close()
            raise
        finally:
            self._busy.release()

    def _serve_one(self) -> bool:
        found = import_to_serve(queues=self.queues, avoided=self._avoided_now())
        if found is None:
            return self._wait_for_avoided()
        import_id, queue, free = found
        _wake_another(queue, free)
        with structlog.contextvars.bound_contextvars(import_id=import_id):
            try:
                self._work_on(import_id)
            except (OperationalError, InterfaceError):
                raise
            except Exception:
                # Errors of a chunk are counted with the chunk. Whatever this is, others shall not wait for it.
                log.exception("slice_failed")
                self._workers.pop(import_id, None)
                self._avoided[import_id] = time.monotonic() + FAILED_SECONDS
        return True

    def _wait_for_avoided(self) -> bool:
        """Whether to look again, because an import that had nothing for us may have something now."""
        soon = time.monotonic() + AVOID_SECONDS
        if not any(until <= soon for until in self._avoided.values()):
            return False
        shutdown.ending.wait(AVOID_SECONDS)
        return True

    def _avoided_now(self) -> list[int]:
        now = time.monotonic()
        self._avoided = {number: until for number, until in self._avoided.items() if until > now}
        return list(self._avoided)

    def _work_on(self, import_id: int) -> None:
        started = time.monotonic()
        chunks: list[int] = []
        worker = self._worker_for(import_id, chunks)
        worker.run(leave=self._Leave(self, import_id), patience_seconds=PATIENCE_SECONDS)
        if not chunks:
            self._avoided[import_id] = time.monotonic() + AVOID_SECONDS
        log.debug("slice_done", chunks=len(chunks), seconds=round(time.monotonic() - started, 3))
        self._end(import_id)

    def _end(self, import_id: int) -> None:
        """Who does the last chunk also certifies; nobody has to be woken for it."""
        state, planned, unfinished, _ = queue_status(import_id=import_id)
        if state in ENDED or (planned and not unfinished):
            self._workers.pop(import_id, None)
            run_steps(steps=[CERTIFY], import_id=import_id)

    def _worker_for(self, import_id: int, chunks: list[int]) -> ChunkWorker:
        worker = self._workers.pop(import_id, None) or self._new_worker(import_id)
        self._workers[import_id] = worker
        while len(self._workers) > KEPT_WORKERS:
            self._workers.popitem(last=False)
        worker.after_chunk = lambda: chunks.append(1)
        return worker

    def _new_worker(self, import_id: int) -> ChunkWorker:
        owner = Import.objects.get(pk=import_id)
        sources = {row.number: open_for_work(row) for row in SourceRow.objects.filter(owner=owner)}
        return ChunkWorker(
            job=job_of(owner),
            sources=sources,
            name=worker_name(),
            now=utc_now,
            stop=shutdown.ending.is_set,
            pressure=Pressure.of_settings(import_id=import_id, now=utc_now),
        )

    class _Leave:
        """Whether to leave an import: asked between chunks, answered by the database once a slice."""

        def __init__(self, work: "ChunkWork", import_id: int) -> None:
            self._work = work
            self._import_id = import_id
            self._until = time.monotonic() + SLICE_SECONDS

        def __call__(self) -> bool:
            if time.monotonic() < self._until:
                return False
            self._until = time.monotonic() + SLICE_SECONDS
            found = import_to_serve(queues=self._work.queues, avoided=self._work._avoided_now())
            if found is None:
                return False
            _wake_another(found[1], found[2])
            return found[0] != self._import_id


def _wake_another(queue: str, free: int) -> None:
    """A worker takes two chunks; if there are more, somebody else may have nothing to do."""
    if free > 2:
        dispatch.wake_workers(queue)


chunk_work = ChunkWork()
