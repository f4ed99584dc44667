"""One worker: claims chunks and takes each through read → validate → resolve → merge."""

import csv
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

import polars as pl
import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from ingestion import disagreements
from ingestion.copying import copy_frame, joined, query_frame
from ingestion.errors import ImportNotPausableError
from ingestion.heartbeat import Heartbeat
from ingestion.job import Claim, Job
from ingestion.limits import limit_tripped
from ingestion.lookahead import LookAhead
from ingestion.queue import (
    ImportStoppedError,
    LeaseLostError,
    chunk_claim,
    chunk_heartbeat,
    chunk_is_abandoned,
    chunk_release,
    queue_status,
    unfinished_below,
)
from ingestion.reader import Batch, Dialect, Source, SourceUnavailable, Span, read_span
from ingestion.rejects import errors_by_code, rejects_write
from ingestion.services import import_fail, import_pause
from ingestion.stages.merge import (
    Merged,
    OrdersCollideError,
    duplicate_line,
    merge_by_copy,
    merge_by_sets,
    repeated_lines,
)
from ingestion.stages.resolve import Resolution, Resolver, users_missing, without_ordinals
from ingestion.states import RUNNING
from ingestion.validation import Carry, FieldError, Validator
from ingestion.validation.records import UNKNOWN

log = structlog.get_logger(__name__)
queue_sql = load_queries("ingestion", "queue")
resolve_sql = load_queries("ingestion", "resolve")
merge_sql = load_queries("ingestion", "merge")

# Merging what is known takes twice the memory for a moment. With 96 MiB a worker of the 10 GB run came to 641 MiB.
KNOWN_BUDGET_BYTES: Final = 24 << 20
MAX_ATTEMPTS: Final = 20
MAX_COLLISIONS: Final = 5
BACK_OFF_SECONDS: Final = 5.0
POLL_SECONDS: Final = (0.002, 0.05)
ABANDONED_CHECK_SECONDS: Final = 0.5
RETRYABLE: Final = {"40P01", "40001"}  # deadlock_detected, serialization_failure
DISK_FULL: Final = "53100"


class TurnYieldedError(Exception):
    """A lower chunk was abandoned by its holder: give ours back, and take that one first."""


class SourceChangedError(Exception):
    """The file is not the one that was planned."""


@dataclass(frozen=True)
class OpenSource:
    """One source as a worker reads it."""

    source: Source
    dialect: Dialect
    validator: Validator
    identity: Any


@dataclass
class Work:
    """A chunk on its way through the stages: its records, and the errors found so far."""

    claim: Claim
    batch: Batch
    frame: pl.DataFrame
    errors: list[FieldError]
    carry: Carry | None = None

    def reject(self, errors: list[FieldError]) -> None:
        """Take records out of the valid ones."""
        self.errors = self.errors + errors
        self.frame = without_ordinals(self.frame, {error.ordinal for error in errors})

    @property
    def ignored(self) -> dict[str, int]:
        """Ignored records by reason."""
        return {reason: len(ordinals) for reason, ordinals in self.batch.ignored.items() if len(ordinals)}

    @property
    def rejected(self) -> int:
        """How many records have errors."""
        return len({error.ordinal for error in self.errors})


class Stopwatch:
    """Durations of the steps of one chunk, for the log."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def lap(self, step: str) -> None:
        """Note how long the step took."""
        now = time.monotonic()
        self.seconds[f"{step}_seconds"] = round(now - self._last, 3)
        self._last = now


class ChunkWorker:
    """
    Works on the chunks of one import until there are none left.

    Args:
        sources: by number.
        name: host and process, for people.
        now: the clock; timezone-aware UTC.
        stop: asked between steps; True makes the worker return after giving its chunk back.
        before_resolve: called with the valid records, in the transaction of the resolve.
        after_chunk: called when a chunk is through.
        heartbeat: extends the lease of a claim; None: nobody else could take it (a dry run).
        look_ahead: read the next chunk while the current one is merged, and resolve it when its turn comes.
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
    ) -> None:
        self._job = job
        self._sources = sources
        self._name = name
        self._now = now
        self._stop = stop
        self._before_resolve = before_resolve
        self._after_chunk = after_chunk
        self._beat = heartbeat
        # Continuation records ask the database what stood before their chunk.
        self._looks_ahead = look_ahead and not job.profile.rules.continuation
        self._ahead: LookAhead[Work] = LookAhead(read=self.read)
        self._all_resolved = False
        self._resolved_ahead: dict[tuple[int, int], Resolution | str] = {}
        self._watch: Callable[[], None] = lambda: None
        self._resolver = Resolver(job=job, budget_bytes=KNOWN_BUDGET_BYTES)
        self._collided = False
        ids, profile = job.profile.ids, job.profile
        own_texts = (*profile.templates.values(), *profile.defaults.values())
        self._escapes_of_profile = any(
            "\\" in text for text in (*own_texts, ids.order_prefix, ids.user_prefix, ids.item_prefix)
        )

    def run(self) -> None:
        """Work until every planned chunk is finished, the import stops, or `stop` says so."""
        heartbeat = Heartbeat(beat=self._beat)
        try:
            while not self._stop() and self._step(heartbeat):
                if self._after_chunk is not None:
                    self._after_chunk()
        finally:
            heartbeat.stop()
            self._ahead.close()

    def _step(self, heartbeat: Heartbeat) -> bool:
        state, planned, unfinished, unresolved = queue_status(import_id=self._job.import_id)
        if state != RUNNING or (planned and not unfinished):
            return False
        self._all_resolved = planned and not unresolved
        claim = self._ahead.claim or self._claim()
        if claim is None:
            time.sleep(POLL_SECONDS[1])
            return True
        self._watch = lambda: heartbeat.watch(claim, self._ahead.claim)
        self._watch()
        try:
            self._attempt(claim)
        finally:
            heartbeat.watch(self._ahead.claim)
        return True

    def _claim(self) -> Claim | None:
        return chunk_claim(job=self._job, worker=self._name, all_resolved=self._all_resolved)

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
        time.sleep(min(BACK_OFF_SECONDS, 0.05 * 2**claim.attempts))

    def process(self, claim: Claim) -> None:
        """
        Take one claimed chunk through all stages.

        Raises:
            LeaseLostError: somebody else has the chunk now.
            ImportStoppedError: the import is not running any more.
            TurnYieldedError: a lower chunk waits for a worker.
        """
        clock = Stopwatch()
        work = self._ahead.take(claim) or self.read(claim)
        clock.lap("read")
        if self._looks_ahead and self._ahead.claim is None:
            self._ahead.begin(self._claim())
            self._watch()
            clock.lap("claim")
        resolution = self._resolve_in_turn(work, clock)
        if isinstance(resolution, str):
            self._stop_at(work, reason=resolution)
            return
        if self._job.two_passes and not claim.resolved:
            raise TurnYieldedError
        self._resolve_ahead()
        clock.lap("ahead")
        self._merge(work, resolution)
        clock.lap("merge")
        log.debug(
            "chunk_merged",
            import_id=claim.import_id,
            chunk=claim.number,
            records=claim.records,
            **clock.seconds,
        )

    # Read and validate

    def read(self, claim: Claim) -> Work:
        """
        Read and validate a chunk.

        Raises:
            SourceChangedError: the file is not the one that was planned.
        """
        origin = self._sources[claim.source]
        if origin.identity is not None and _identity(origin.source) != origin.identity:
            raise SourceChangedError(
                f"{origin.source.name} was changed, replaced or removed while it was being imported. "
                "What was merged stays; start a new import of the file as it is now."
            )
        batch = self._batch(claim, origin)
        carry = self._carry_into(claim, origin)
        validated = origin.validator.validate(batch, carry=carry)
        frame = validated.frame.with_columns((pl.col("ordinal") + claim.first_record).alias("record"))
        work = Work(claim=claim, batch=batch, frame=frame, errors=validated.errors, carry=carry)
        return work

    def _batch(self, claim: Claim, origin: OpenSource) -> Batch:
        span = Span(
            number=claim.number,
            offset=claim.offset,
            length=claim.length,
            first_record=claim.first_record,
            records=claim.records,
            first_line=claim.first_line,
            lines=claim.lines,
            quoting=claim.quoting,
        )
        data = b"" if claim.quoting == "overlong" else origin.source.read(claim.offset, claim.length)
        return read_span(data, span=span, dialect=origin.dialect)

    def _carry_into(self, claim: Claim, origin: OpenSource) -> Carry | None:
        """
        The order columns of the record before this chunk, for continuation records.

        Found by reading chunks backwards until one settles it, so that any worker can do any chunk.
        """
        if not self._job.profile.rules.continuation:
            return None
        before = self._chunk_before(claim)
        if before is None:
            return Carry()
        batch = self._batch(before, origin)
        carry = origin.validator.carry_after(batch, carry=UNKNOWN)
        if carry.known:
            return carry
        # Either the chunk ends damaged, or it holds no order at all and hands on what it was given.
        return origin.validator.carry_after(batch, carry=self._carry_into(before, origin))

    def _chunk_before(self, claim: Claim) -> Claim | None:
        with connection.cursor() as cursor:
            cursor.execute(
                queue_sql.chunk_before,
                {"import_id": claim.import_id, "number": claim.number, "source": claim.source},
            )
            row = cursor.fetchone()
        return None if row is None else Claim.unheld(row)

    def _reject_repeated_lines(self, work: Work) -> None:
        """Once it is settled which records are accepted: only an accepted one makes a later one a repetition."""
        if self._job.profile.rules.duplicates == "reject":
            work.reject([duplicate_line(ordinal) for ordinal in repeated_lines(work.frame, job=self._job)])

    # Resolve

    def _await_turn(self, claim: Claim, *, resolved: bool) -> None:
        """Wait until every lower chunk is resolved (or, with resolved=False, finished)."""
        pause = POLL_SECONDS[0]
        checked = time.monotonic()
        while (blocker := unfinished_below(claim=claim, resolved=resolved)) is not None:
            # Nobody waits while holding a lower chunk: so the lowest unfinished one always goes on.
            if self._ahead.claim is not None and self._ahead.claim.number < claim.number:
                raise TurnYieldedError
            time.sleep(pause)
            pause = min(pause * 1.5, POLL_SECONDS[1])
            if time.monotonic() - checked > ABANDONED_CHECK_SECONDS:
                checked = time.monotonic()
                if self._stop() or queue_status(import_id=claim.import_id)[0] != RUNNING:
                    raise ImportStoppedError
                if chunk_is_abandoned(import_id=claim.import_id, number=blocker):
                    raise TurnYieldedError

    def _resolve_in_turn(self, work: Work, clock: Stopwatch) -> Resolution | str:
        """The resolution of a chunk: of an earlier attempt, made ahead, or made now that it is the chunk's turn."""
        claim = work.claim
        if claim.resolved:
            resolution = _resolution_from(claim.resolution)
            work.reject(resolution.errors)
            self._reject_repeated_lines(work)
            return resolution
        ahead = self._resolved_ahead.pop((claim.id, claim.token), None)
        if ahead is not None:
            return ahead
        self._await_turn(claim, resolved=True)
        clock.lap("turn")
        resolved = self._resolve(work)
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
            self._resolved_ahead[claim.id, claim.token] = self._resolve(work)

    def _resolve(self, work: Work) -> Resolution | str:
        """Resolve in a transaction of its own; returns the reason instead when an error limit stops the import here."""
        try:
            return self._resolve_once(work)
        except BaseException:
            self._resolver.forget()
            raise

    def _resolve_once(self, work: Work) -> Resolution | str:
        trial = replace(work)
        resolved = self._try_to_resolve(trial)
        if isinstance(resolved, str):
            # Rolled back: what it taught the resolver is not so.
            self._resolver.forget()
        # Only now: a transaction that failed must leave the records as they were.
        work.errors, work.frame = trial.errors, trial.frame
        return resolved

    def _try_to_resolve(self, work: Work) -> Resolution | str:
        claim = work.claim
        with transaction.atomic(), connection.cursor() as cursor:
            # Losing this commit in a crash only means doing it again; the merge's commit makes it durable.
            cursor.execute("SET LOCAL synchronous_commit = off")
            self._hold_import(cursor)
            if self._before_resolve is not None:
                self._before_resolve(cursor, work.frame)
            resolution = self._resolver.resolve(cursor, claim=claim, frame=work.frame, now=self._now())
            work.reject(resolution.errors)
            self._reject_repeated_lines(work)
            tripped = limit_tripped(cursor, job=self._job, claim=claim, rejected=work.rejected, ignored=work.ignored)
            if tripped is None:
                self._note_bad_orders(cursor, work)
                self._mark_resolved(cursor, work, resolution)
                return resolution
            transaction.set_rollback(True)
        return tripped

    def _mark_resolved(self, cursor: CursorWrapper, work: Work, resolution: Resolution) -> None:
        summary = {
            "rejected": work.rejected,
            "ignored": sum(work.ignored.values()),
            "errors": [asdict(error) for error in resolution.errors],
            "counts": resolution.counts,
        }
        self._compare_and_set(
            cursor, resolve_sql.chunk_resolved, work.claim, {"now": self._now(), "resolution": _json(summary)}
        )

    def _note_bad_orders(self, cursor: CursorWrapper, work: Work) -> None:
        """Under partial_orders = reject: remember the orders of which a record was rejected."""
        if not self._job.two_passes or not work.errors:
            return
        origin = self._sources[work.claim.source]
        ids = origin.validator.order_ids_of(
            work.batch,
            sorted({error.ordinal for error in work.errors}),
            carry=work.carry,
            torn={defect.ordinal: _torn_fields(work.batch, defect.ordinal, origin) for defect in work.batch.defects},
        )
        if ids:
            cursor.execute(resolve_sql.bad_orders_add, {"import_id": work.claim.import_id, "ids": "\x1f".join(ids)})

    def _stop_at(self, work: Work, *, reason: str) -> None:
        """An error limit tripped in this chunk: lower chunks finish, this one leaves its rejects, no other merges."""
        if not self._job.two_passes:  # else none of them merges before all are resolved, and this one never is
            self._await_turn(work.claim, resolved=False)
        now = self._now()
        with transaction.atomic(), connection.cursor() as cursor:
            rejected = rejects_write(cursor, claim=work.claim, batch=work.batch, errors=work.errors)
            ignored = work.ignored
            outcomes = {
                "rejected": rejected,
                "ignored": sum(ignored.values()),
                "unprocessed": work.claim.records - rejected - sum(ignored.values()),
            }
            values = {
                "now": now,
                "outcomes": _json(outcomes),
                "errors": _json(errors_by_code(work.errors)),
                "ignored": _json(ignored),
            }
            self._compare_and_set(cursor, merge_sql.chunk_stopped, work.claim, values)
            if not import_fail(import_id=work.claim.import_id, now=now, reason=reason):
                raise ImportStoppedError

    # Merge

    def _merge(self, work: Work, resolution: Resolution) -> None:
        if not self._collided:
            try:
                self._merge_once(work, resolution, merge=merge_by_copy)
            except OrdersCollideError:
                self._collided = True
            else:
                return
        self._await_turn(work.claim, resolved=False)
        merged = self._merge_sets(work, resolution)
        # Stay on the set-wise path only while chunks really collide.
        self._collided = merged.facts.get("orders_inserted", 0) < work.frame.height // 1000

    def _merge_sets(self, work: Work, resolution: Resolution) -> Merged:
        """Set by set; once more when somebody placed one of the orders between our look and our insert."""
        for _ in range(MAX_COLLISIONS):
            with suppress(OrdersCollideError):
                return self._merge_once(work, resolution, merge=merge_by_sets)
        return self._merge_once(work, resolution, merge=merge_by_sets)

    def _merge_once(self, work: Work, resolution: Resolution, *, merge: Callable[..., Merged]) -> Merged:
        claim, job = work.claim, self._job
        with transaction.atomic(), connection.cursor() as cursor:
            if job.replica_role:
                cursor.execute("SET LOCAL session_replication_role = replica")
            # The plan for key look-ups must not turn into a scan of a table whose statistics are not there yet.
            cursor.execute("SET LOCAL enable_seqscan = off")
            made_again = self._same_users(cursor, work, resolution)
            frame, errors = self._without_bad_orders(cursor, work)
            # Those that are left are to be skipped.
            repeated = set(repeated_lines(frame, job=job))
            frame = without_ordinals(frame, repeated)
            merged: Merged = merge(
                cursor, job=job, claim=claim, frame=frame, now=self._now(), escape_free=self._escape_free(work)
            )
            errors = work.errors + errors + merged.errors
            rejected = rejects_write(cursor, claim=claim, batch=work.batch, errors=errors)
            counted = self._write_disagreements(cursor, work, resolution, merged)
            merged.outcomes["skipped"] = merged.outcomes.get("skipped", 0) + len(repeated)
            outcomes = {**merged.outcomes, "rejected": rejected, "ignored": sum(work.ignored.values())}
            values = {
                "outcomes": _json({name: number for name, number in outcomes.items() if number}),
                "errors": _json(errors_by_code(errors)),
                "ignored": _json(work.ignored),
                "facts": _json(_sums(resolution.counts, made_again, merged.facts, counted)),
                "displaced": _json(merged.displaced),
                "digests": _json(merged.digests),
            }
            self._compare_and_set(cursor, merge_sql.chunk_done, claim, values)
            self._demote(cursor, merged.demoted)
            self._hold_import(cursor)
        return merged

    def _escape_free(self, work: Work) -> bool:
        """Whether no value of the chunk can have a character that COPY escapes; looking at the bytes is cheap."""
        carried = self._job.profile.rules.continuation  # texts from another chunk, of which these bytes say nothing
        return not carried and not self._escapes_of_profile and not work.batch.controls and b"\\" not in work.batch.data

    def _same_users(self, cursor: CursorWrapper, work: Work, resolution: Resolution) -> dict[str, int]:
        """Hold the gate; if users were deleted since the resolve, make those of this chunk again, and count them."""
        epoch = self._resolver.enter_gate(cursor)
        if epoch != resolution.epoch and users_missing(cursor, frame=work.frame):
            again = self._resolver.recheck(cursor, claim=work.claim, frame=work.frame, now=self._now())
            work.reject(again.errors)
            return again.counts
        return {}

    def _without_bad_orders(self, cursor: CursorWrapper, work: Work) -> tuple[pl.DataFrame, list[FieldError]]:
        if not self._job.two_passes:
            return work.frame, []
        bad = query_frame(
            cursor,
            query=resolve_sql.bad_orders_among,
            parameters={
                "import_id": work.claim.import_id,
                "ids": joined(work.frame.get_column("order_id").unique()),
            },
        )
        partial = work.frame.join(bad, on="order_id", how="semi", maintain_order="left")
        message = "Another record of this order was rejected, and the profile loads only whole orders."
        errors = [
            FieldError(ordinal, None, "order_id", "partial_order", message, order_id)
            for ordinal, order_id in partial.select("ordinal", "order_id").iter_rows()
        ]
        return work.frame.join(bad, on="order_id", how="anti", maintain_order="left"), errors

    def _write_disagreements(
        self, cursor: CursorWrapper, work: Work, resolution: Resolution, merged: Merged
    ) -> dict[str, int]:
        """List values that lost, count all of them; returns {"user_disagreements": n, …}."""
        kept = self._resolver.stored(cursor, frame=work.frame) if work.claim.resolved else resolution.kept
        found = disagreements.find(work.frame, kept=kept)
        headers = pl.DataFrame(
            [("order", key, name, kept, seen, 0, 1) for key, name, kept, seen in merged.header_disagreements],
            schema=disagreements.SCHEMA,
            orient="row",
        )
        found = pl.concat([found, headers])
        listed = found.head(disagreements.LISTED_PER_CHUNK).select(
            pl.lit(work.claim.import_id).alias("import_id"),
            pl.lit(work.claim.number).alias("chunk"),
            "entity",
            "key",
            "field",
            "kept",
            "seen",
            (pl.col("ordinal") + work.claim.first_record).alias("first_record"),
            "records",
        )
        copy_frame(cursor, table="ingestion_disagreement", frame=listed)
        totals = found.group_by("entity", maintain_order=True).agg(pl.col("records").sum())
        return {f"{entity}_disagreements": number for entity, number in totals.iter_rows()}

    def _demote(self, cursor: CursorWrapper, records: list[int]) -> None:
        """Later records that a chunk merged earlier lose their line to this chunk's: correct their chunk."""
        for record in records:
            cursor.execute(merge_sql.chunk_of_record, {"import_id": self._job.import_id, "record": record})
            columns = cursor.fetchone()
            other = Claim.unheld((columns[0], self._job.import_id, *columns[1:]))
            skip = self._job.profile.rules.duplicates == "skip"
            cursor.execute(merge_sql.chunk_demote, {"id": other.id, "outcome": "skipped" if skip else "rejected"})
            numbers: dict[str, Any] = {"import_id": self._job.import_id, "kind": "lines", "numbers": [other.number]}
            cursor.execute(merge_sql.digests_clear, numbers)
            if not skip:
                batch = self._batch(other, self._sources[other.source])
                rejects_write(cursor, claim=other, batch=batch, errors=[duplicate_line(record - other.first_record)])

    # Fencing

    def _hold_import(self, cursor: CursorWrapper) -> None:
        """Hold the import row: after a pause or a cancel nothing commits."""
        cursor.execute(queue_sql.import_lock, {"import_id": self._job.import_id})
        if cursor.fetchone()[0] != RUNNING:
            raise ImportStoppedError

    def _compare_and_set(self, cursor: CursorWrapper, query: str, claim: Claim, values: dict[str, Any]) -> None:
        cursor.execute(query, {"id": claim.id, "token": claim.token, **values})
        if cursor.rowcount != 1:
            raise LeaseLostError


def _torn_fields(batch: Batch, ordinal: int, origin: OpenSource) -> list[str]:
    """What a damaged record seems to say; good enough to tell which order it belonged to."""
    dialect = origin.dialect
    text = batch.raw(ordinal).decode(dialect.encoding, errors="replace").replace("\0", "\ufffd")
    reader = csv.reader([text], delimiter=dialect.delimiter, quotechar=dialect.quote or '"')
    with suppress(csv.Error):
        return next(reader, [])
    return []


def _sums(*counters: Mapping[str, int]) -> dict[str, int]:
    """Counters added up by name."""
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return dict(total)


def _identity(source: Source) -> Any:
    """None when the file is not there any more: that is no reason to try twenty times."""
    with suppress(SourceUnavailable):
        return source.identity()
    return None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _resolution_from(stored: dict[str, Any]) -> Resolution:
    """What an earlier attempt resolved; its epoch is unknown, so the users are looked up again."""
    return Resolution(
        errors=[FieldError(**error) for error in stored.get("errors", [])],
        counts=dict(stored.get("counts", {})),
        epoch=-1,
    )
