"""A worker process looks for work by itself now and then, so that nothing depends on Redis; and knows when to end."""

import random
import threading
from typing import Any, Final

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from dramatiq import Middleware

from ingestion import dispatch, shutdown
from ingestion.slices import chunk_work
from ingestion.steps.run import followers, run_steps

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 10.0
ENDING_SECONDS: Final = 15.0
KEPT_FREE: Final = 2
"""Threads that never follow an upload."""


class Watch(Middleware):
    """
    Middleware of worker processes.

    After boot it learns which queues the process listens to and starts a thread that does, every 10 seconds, what a
    wake-up would. Before shutdown it asks everybody to give back what they hold.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._queues: frozenset[str] = frozenset()

    def after_worker_boot(self, broker: Any, worker: Any) -> None:
        self._queues = frozenset(worker.consumer_whitelist or broker.get_declared_queues())
        chunk_work.queues = tuple(queue for queue in (dispatch.SMALL, dispatch.LARGE) if queue in self._queues)
        followers.limit = max(1, worker.worker_threads - KEPT_FREE)
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:
        shutdown.ending.set()

    def after_worker_shutdown(self, broker: Any, worker: Any) -> None:
        if self._thread is not None:
            self._thread.join(ENDING_SECONDS)

    def _run(self) -> None:
        pause = random.uniform(0.5, LOOK_SECONDS)  # noqa: S311 - workers that start together should not look together
        while not shutdown.ending.wait(pause):
            pause = LOOK_SECONDS
            try:
                close_old_connections()
                self._look()
            except (DatabaseError, InterfaceError) as error:
                log.warning("watch_failed", error=str(error).strip())
                connections.close_all()
            except Exception:
                log.exception("watch_failed")
        connections.close_all()

    def _look(self) -> None:
        if dispatch.STEPS in self._queues:
            run_steps()
        if chunk_work.queues:
            chunk_work.run()
