"""
Worker processes of one command.

The parent never computes with polars, so it may fork at any time. A child that dies is replaced; its chunk is claimed
again at once, because its database backend is gone.
"""

import os
import pickle
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOSPC
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final, TypeVar

import structlog
from django.db import InterfaceError, OperationalError, connection

from config.kernel import processes
from ingestion.clock import utc_now
from ingestion.errors import ImportNotPausableError, SourceDiffersError
from ingestion.job import Job
from ingestion.models import Import, Source as SourceRow
from ingestion.pressure import Pressure
from ingestion.reader import ReaderError
from ingestion.services import import_fail, import_pause
from ingestion.stages.plan import Planner, PlanStoppedError
from ingestion.states import RUNNING
from ingestion.worker import ChunkWorker, open_for_work

log = structlog.get_logger(__name__)
Result = TypeVar("Result")

DATABASE_PATIENCE_SECONDS: Final = 60
"""How long a process waits for a database that went away before it gives up."""


def spawn(target: Callable[[], None], *, name: str) -> BaseProcess:
    """Fork a process that runs `target` with one thread of polars: workers are as many as processors already."""

    def run() -> None:
        os.environ.setdefault("POLARS_MAX_THREADS", "1")
        target()

    return processes.spawn(run, name=name)


def call_in_process(function: Callable[[], Result], *, name: str) -> Result:
    """
    Run a function in a process of its own and return its result, or raise what it raised.

    Raises:
        RuntimeError: the process was killed.
    """
    receiver, sender = get_context("fork").Pipe(duplex=False)
    process = spawn(lambda: _answer(function, sender), name=name)
    sender.close()
    try:
        succeeded, value = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"The process {name} ended without an answer (exit status {process.exitcode}).") from None
    process.join()
    if succeeded:
        return value  # type: ignore[no-any-return]
    raise value.again()


def _answer(function: Callable[[], Any], sender: Connection) -> None:
    try:
        sender.send((True, function()))
    except Exception as error:
        sender.send((False, _described(error)))


@dataclass(frozen=True)
class _Raised:
    """An exception on its way to the parent: pickle itself cannot make one again that takes keyword-only arguments."""

    kind: type[Exception]
    arguments: tuple[Any, ...]
    state: dict[str, Any]

    def again(self) -> Exception:
        error = self.kind.__new__(self.kind)
        error.args = self.arguments
        error.__dict__.update(self.state)
        return error


def _described(error: Exception) -> _Raised:
    """The exception, or its text when something in it cannot be sent."""
    described = _Raised(type(error), error.args, dict(vars(error)))
    try:
        pickle.dumps(described)
    except Exception:
        return _Raised(RuntimeError, ("".join(traceback.format_exception(error)),), {})
    return described


def patiently(work: Callable[[], None], *, what: str) -> None:
    """
    Run `work` again while the database is away, for at most a minute at a time.

    All progress is in the database, so beginning again is always right.
    """
    lost_at: float | None = None
    while True:
        try:
            work()
        except (OperationalError, InterfaceError) as error:
            connection.close()
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > DATABASE_PATIENCE_SECONDS:
                raise
            log.warning("database_lost", process=what, error=str(error).strip())
            time.sleep(0.5)
            if _database_answers():
                lost_at = None
        else:
            return


def _database_answers() -> bool:
    try:
        connection.ensure_connection()
    except (OperationalError, InterfaceError):
        return False
    return True


def work(job: Job, *, identities: dict[int, Any]) -> None:
    """The body of a worker process."""
    name = f"{socket.gethostname()}:{os.getpid()}"

    def run() -> None:
        rows = SourceRow.objects.filter(owner_id=job.import_id)
        sources = {row.number: open_for_work(row, identity=identities.get(row.number)) for row in rows}
        pressure = Pressure.of_settings(import_id=job.import_id, now=utc_now)
        ChunkWorker(job=job, sources=sources, name=name, now=utc_now, pressure=pressure).run()

    patiently(run, what=name)


def plan_all(import_id: int) -> None:
    """The body of the planner process. What is wrong with a source ends the import with the reason."""

    def run() -> None:
        owner = Import.objects.get(pk=import_id)
        planner = Planner(owner=owner, now=utc_now, running=lambda: _is_running(import_id))
        try:
            planner.run()
        except PlanStoppedError:
            return
        except (ReaderError, SourceDiffersError) as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno == ENOSPC:
                with suppress(ImportNotPausableError):
                    import_pause(
                        import_id=import_id, reason=f"{error} Make room for its decompressed copy, then go on."
                    )
            else:
                import_fail(import_id=import_id, now=utc_now(), reason=str(error))

    patiently(run, what="planner")
    sys.stdout.flush()


def _is_running(import_id: int) -> bool:
    return Import.objects.filter(pk=import_id, state=RUNNING).exists()


class Crew:
    """
    The planner and the workers of one import; dead ones are replaced.

    Args:
        workers: how many worker processes.
        identities: by source number, what the files looked like when they were opened.
    """

    MAX_KILLED: Final = 1_000
    MAX_FAILED: Final = 10

    def __init__(self, *, job: Job, workers: int, identities: dict[int, Any]) -> None:
        self._bodies: dict[str, Callable[[], None]] = {"planner": lambda: plan_all(job.import_id)}
        for number in range(workers):
            self._bodies[f"worker-{number}"] = lambda: work(job, identities=identities)
        self._processes: dict[str, BaseProcess] = {}
        self._replaced = {True: 0, False: 0}  # by whether it was killed

    def start(self) -> None:
        """Fork everybody."""
        for name, body in self._bodies.items():
            self._processes[name] = spawn(body, name=name)

    def tend(self) -> None:
        """
        Replace members that were killed; a member that ended on its own has nothing left to do.

        Raises:
            RuntimeError: they keep dying.
        """
        for name, process in list(self._processes.items()):
            if process.is_alive() or process.exitcode == 0:
                continue
            killed = (process.exitcode or 0) < 0
            self._replaced[killed] += 1
            if self._replaced[killed] > (self.MAX_KILLED if killed else self.MAX_FAILED):
                raise RuntimeError("Worker processes keep dying; see the log.")
            log.warning("process_replaced", process=name, exit_status=process.exitcode)
            if sum(self._replaced.values()) > 10:  # the first ones at once, then not in a tight loop
                time.sleep(0.2)
            self._processes[name] = spawn(self._bodies[name], name=name)

    @property
    def finished(self) -> bool:
        """Whether every member has ended on its own."""
        return all(process.exitcode == 0 for process in self._processes.values())

    def dismiss(self, *, seconds: float = 10) -> None:
        """Wait for everybody to end on their own, then end who has not."""
        until = time.monotonic() + seconds
        for process in self._processes.values():
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
