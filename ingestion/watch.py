"""A worker process looks for work by itself now and then, so that nothing depends on Redis; and knows when to end."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from dramatiq import Middleware

from ingestion import dispatch, shutdown
from ingestion.slices import chunk_work, import_to_serve
from ingestion.steps.places import places_divide
from ingestion.steps.run import run_steps, steps_to_do

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 10.0
ENDING_SECONDS: Final = 15.0


class Watch(Middleware):
    """
    Middleware of worker processes.

    After boot it learns which queues the process listens to and starts a thread that does, every 10 seconds, what a
    wake-up would. Before shutdown it asks everybody to give back what they hold.
    """

    def __init__(self) -> None:
        self._watching: threading.Thread | None = None
        self._working: list[threading.Thread] = []
        self._most = 1
        self._queues: frozenset[str] = frozenset()

    def after_worker_boot(self, broker: Any, worker: Any) -> None:
        self._queues = frozenset(worker.consumer_whitelist or broker.get_declared_queues())
        self._most = worker.worker_threads
        chunk_work.queues = tuple(queue for queue in (dispatch.SMALL, dispatch.LARGE) if queue in self._queues)
        places_divide(threads=worker.worker_threads)
        self._watching = threading.Thread(target=self._run, name="watch", daemon=True)
        self._watching.start()

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:
        shutdown.ending.set()

    def after_worker_shutdown(self, broker: Any, worker: Any) -> None:
        until = time.monotonic() + ENDING_SECONDS
        for thread in filter(None, [self._watching, *self._working]):
            thread.join(max(0.0, until - time.monotonic()))

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
        """Work is done in other threads: it may take long, and the next look must not wait for it."""
        if dispatch.STEPS in self._queues and steps_to_do():
            self._begin(run_steps)
        if chunk_work.queues and import_to_serve(queues=chunk_work.queues) is not None:
            self._begin(chunk_work.run)

    def _begin(self, work: Callable[[], object]) -> None:
        self._working = [thread for thread in self._working if thread.is_alive()]
        if len(self._working) < self._most:
            self._working.append(threading.Thread(target=_guarded, args=[work], name="unasked", daemon=True))
            self._working[-1].start()


def _guarded(work: Callable[[], object]) -> None:
    try:
        work()
    except (DatabaseError, InterfaceError) as error:
        log.warning("unasked_work_failed", error=str(error).strip())
    except Exception:
        log.exception("unasked_work_failed")
    finally:
        connections.close_all()
