"""One worker: claims chunks and takes each through read → validate → resolve → merge."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final

import polars as pl
import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.backends.utils import CursorWrapper

from ingestion.changes import CacheMarks, Changes
from ingestion.errors import ImportNotPausableError
from ingestion.heartbeat import Heartbeat
from ingestion.job import Claim, Job
from ingestion.lookahead import LookAhead
from ingestion.pressure import Pressure
from ingestion.queue import (
    ImportStoppedError,
    LeaseLostError,
    chunk_claim,
    chunk_heartbeat,
    chunk_release,
    queue_status,
    unfinished_below,
)
from ingestion.services import import_fail, import_pause
from ingestion.stages.resolve import Resolution
from ingestion.states import RUNNING
from ingestion.worker.merging import ChunkMerger
from ingestion.worker.reading import ChunkReader, SourceChangedError
from ingestion.worker.resolving import ChunkResolver
from ingestion.worker.turns import POLL_SECONDS, Turns, TurnYieldedError
from ingestion.worker.work import OpenSource, Stopwatch, Work

log = structlog.get_logger(__name__)

MAX_ATTEMPTS: Final = 20
BACK_OFF_SECONDS: Final = 5.0
RETRYABLE: Final = {"40P01", "40001"}  # deadlock_detected, serialization_failure
DISK_FULL: Final = "53100"


class ChunkWorker:
    """
    Works on the chunks of one import.

    It remembers which users and items exist, so one that is kept for a later `run` is faster than a new one.

    Args:
        sources: by number.
        name: host and process, for people.
        now: the clock; timezone-aware UTC.
        stop: asked between steps and while waiting; True makes the worker give back what it holds and return.
        before_resolve: called with the valid records, in the transaction of the resolve.
        after_chunk: called when a chunk is through.
        heartbeat: extends the lease of a claim; None: nobody else could take it (a dry run).
        look_ahead: read the next chunk while the current one is merged, and resolve it when its turn comes.
        changes: is told which existing rows a stage changed; the cache, if not given.
        pressure: makes it wait between chunks while the outbox is too far behind; None: it never waits.
    """

    def __init__(
        self,
        *,
        job: Job,
        sources: Mapping[int, OpenSource],
        name: str,
        now: Callable[[], datetime],
        stop: Callable[[], bool] = lambda: False,
        before_resolve: Callable[[CursorWrapper, pl.DataFrame], None] | None = None,
        after_chunk: Callable[[], None] | None = None,
        heartbeat: Callable[..., bool] | None = chunk_heartbeat,
        look_ahead: bool = True,
        changes: Changes | None = None,
        pressure: Pressure | None = None,
    ) -> None:
        self._job = job
        self._pressure = pressure
        self._name = name
        self._now = now
        self._stop = stop
        self.after_chunk = after_chunk
        self._beat = heartbeat
        # Continuation records ask the database what stood before their chunk.
        self._looks_ahead = look_ahead and not job.profile.rules.continuation
        marks = changes or CacheMarks()
        self.reader = ChunkReader(job=job, sources=sources)
        self.turns = Turns(ahead=lambda: self._ahead.claim, stop=stop)
        self.resolver = ChunkResolver(job=job, reader=self.reader, now=now, before=before_resolve, changes=marks)
        self.merger = ChunkMerger(
            job=job, reader=self.reader, known=self.resolver.known, turns=self.turns, now=now, changes=marks
        )
        self._all_resolved = False
        self._begin()

    def _begin(self) -> None:
        """What lasts for one run."""
        self._ahead: LookAhead[Work] = LookAhead(read=self.reader.read)
        self._resolved_ahead: dict[tuple[int, int], Resolution | str] = {}
        self._watch: Callable[[], None] = lambda: None

    def run(self, *, leave: Callable[[], bool] = lambda: False, patience_seconds: float | None = None) -> None:
        """
        Work until every planned chunk is finished, the import stops, or `stop` says so.

        Args:
            leave: asked between chunks; True returns to the caller, with everything given back.
            patience_seconds: return when there was nothing to claim for so long; None: wait for more to be planned.
        """
        self._begin()
        heartbeat = Heartbeat(beat=self._beat)
        idle_since: float | None = None
        try:
            while not self._stop() and not leave() and self._unfinished():
                if self._pressure is not None and self._pressure.holds():
                    continue
                claim = self._ahead.claim or self._claim()
                if claim is not None:
                    idle_since = None
                    self._work_on(claim, heartbeat)
                    continue
                idle_since = idle_since or time.monotonic()
                if patience_seconds is not None and time.monotonic() - idle_since > patience_seconds:
                    return
                time.sleep(POLL_SECONDS[1])
        finally:
            heartbeat.stop()
            self._ahead.close()

    def _unfinished(self) -> bool:
        state, planned, unfinished, unresolved = queue_status(import_id=self._job.import_id)
        self._all_resolved = planned and not unresolved
        return state == RUNNING and not (planned and not unfinished)

    def _claim(self) -> Claim | None:
        return chunk_claim(job=self._job, worker=self._name, all_resolved=self._all_resolved)

    def _work_on(self, claim: Claim, heartbeat: Heartbeat) -> None:
        self._watch = lambda: heartbeat.watch(claim, self._ahead.claim)
        self._watch()
        try:
            self._attempt(claim)
        finally:
            heartbeat.watch(self._ahead.claim)
        if self.after_chunk is not None:
            self.after_chunk()

    def _attempt(self, claim: Claim) -> None:
        """One attempt at a chunk; every way it can end leaves the chunk claimable again or finished."""
        if claim.attempts > MAX_ATTEMPTS:
            import_fail(
                import_id=claim.import_id,
                now=self._now(),
                reason=f"Chunk {claim.number} failed {claim.attempts - 1} times; see its last error in the chunk list.",
            )
            return
        try:
            self.process(claim)
        except TurnYieldedError:
            chunk_release(claim=claim, forgiven=True)
        except (LeaseLostError, ImportStoppedError) as reason:
            log.debug("chunk_dropped", import_id=claim.import_id, chunk=claim.number, reason=type(reason).__name__)
            with suppress(DatabaseError):
                chunk_release(claim=claim, forgiven=True)
        except (OperationalError, InterfaceError) as error:
            self._after_database_error(claim, error)
        except SourceChangedError as error:
            import_fail(import_id=claim.import_id, now=self._now(), reason=str(error))
        except Exception as error:
            log.exception("chunk_failed", import_id=claim.import_id, chunk=claim.number, attempt=claim.attempts)
            chunk_release(claim=claim, last_error=f"{type(error).__name__}: {error}"[:2000])
            self._back_off(claim)

    def _after_database_error(self, claim: Claim, error: Exception) -> None:
        """A deadlock or a lost connection is nobody's fault: it does not count as an attempt."""
        code = getattr(error.__cause__, "pgcode", None)
        log.warning("chunk_interrupted", import_id=claim.import_id, chunk=claim.number, code=code, error=str(error))
        if not connection.is_usable():
            connection.close()
            raise error
        chunk_release(claim=claim, last_error=str(error)[:2000], forgiven=code in RETRYABLE)
        if code == DISK_FULL:
            with suppress(ImportNotPausableError):
                reason = f"The disk of the database is full: {str(error).strip()} Make room, then go on."
                import_pause(import_id=claim.import_id, reason=reason)
        elif code not in RETRYABLE:
            self._back_off(claim)

    def _back_off(self, claim: Claim) -> None:
        """Do not burn through the attempts in a second: what is wrong may pass."""
        until = time.monotonic() + min(BACK_OFF_SECONDS, 0.05 * 2**claim.attempts)
        while time.monotonic() < until and not self._stop():
            time.sleep(POLL_SECONDS[1])

    def process(self, claim: Claim) -> None:
        """
        Take one claimed chunk through all stages.

        Raises:
            LeaseLostError: somebody else has the chunk now.
            ImportStoppedError: the import is not running any more.
            TurnYieldedError: a lower chunk waits for a worker.
        """
        clock = Stopwatch()
        work = self._ahead.take(claim) or self.reader.read(claim)
        clock.lap("read")
        if self._looks_ahead and self._ahead.claim is None and not self._stop():
            self._ahead.begin(self._claim())
            self._watch()
            clock.lap("claim")
        resolution = self._resolve_in_turn(work, clock)
        if isinstance(resolution, str):
            self.merger.stop_at(work, reason=resolution)
            return
        if self._job.two_passes and not claim.resolved:
            raise TurnYieldedError
        self._resolve_ahead()
        clock.lap("ahead")
        self.merger.merge(work, resolution)
        clock.lap("merge")
        log.debug(
            "chunk_merged",
            import_id=claim.import_id,
            chunk=claim.number,
            records=claim.records,
            **clock.seconds,
        )

    def _resolve_in_turn(self, work: Work, clock: Stopwatch) -> Resolution | str:
        """The resolution of a chunk: of an earlier attempt, made ahead, or made now that it is the chunk's turn."""
        claim = work.claim
        if claim.resolved:
            return self.resolver.again(work)
        ahead = self._resolved_ahead.pop((claim.id, claim.token), None)
        if ahead is not None:
            return ahead
        self.turns.wait(claim, resolved=True)
        clock.lap("turn")
        resolved = self.resolver.resolve(work)
        clock.lap("resolve")
        return resolved

    def _resolve_ahead(self) -> None:
        """
        Resolve the next chunk before merging this one, if it has been read and its turn has come.

        Otherwise the worker that has the chunk after it would wait for our merge.
        """
        claim, work = self._ahead.claim, self._ahead.ready()
        if claim is None or work is None or claim.resolved or self._job.two_passes:
            return
        if unfinished_below(claim=claim, resolved=True) is None:
            self._resolved_ahead[claim.id, claim.token] = self.resolver.resolve(work)
