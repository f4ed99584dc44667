"""Resolve a chunk when its turn has come: one short transaction."""

import csv
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Final

import polars as pl
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from ingestion.changes import Changes
from ingestion.job import Job
from ingestion.limits import limit_tripped
from ingestion.reader import Batch
from ingestion.stages.merge import duplicate_line, repeated_lines
from ingestion.stages.resolve import Resolution, Resolver
from ingestion.validation import FieldError
from ingestion.worker.fencing import as_json, compare_and_set, hold_import
from ingestion.worker.reading import ChunkReader
from ingestion.worker.work import OpenSource, Work

resolve_sql = load_queries("ingestion", "resolve")

# Merging what is known takes twice the memory for a moment. With 96 MiB a worker of the 10 GB run came to 641 MiB.
KNOWN_BUDGET_BYTES: Final = 24 << 20


class ChunkResolver:
    """
    Resolves the chunks of one import for one worker.

    Args:
        before: called with the valid records, in the transaction, before anything is looked up.
        changes: is told which existing rows a resolve changed.
    """

    def __init__(
        self,
        *,
        job: Job,
        reader: ChunkReader,
        now: Callable[[], datetime],
        before: Callable[[CursorWrapper, pl.DataFrame], None] | None,
        changes: Changes,
    ) -> None:
        self._job = job
        self._reader = reader
        self._now = now
        self._before = before
        self._changes = changes
        self.known = Resolver(job=job, budget_bytes=KNOWN_BUDGET_BYTES)

    def resolve(self, work: Work) -> Resolution | str:
        """
        Resolve in a transaction of its own; it must be the chunk's turn.

        Returns:
            what was resolved, or the reason when an error limit stops the import here.
        """
        try:
            return self._resolve_once(work)
        except BaseException:
            self.known.forget()
            raise

    def again(self, work: Work) -> Resolution:
        """What an earlier attempt resolved; later chunks have resolved on top of it."""
        resolution = _resolution_from(work.claim.resolution)
        work.reject(resolution.errors)
        self._reject_repeated_lines(work)
        return resolution

    def _resolve_once(self, work: Work) -> Resolution | str:
        trial = replace(work)
        resolved = self._try(trial)
        if isinstance(resolved, str):
            # Rolled back: what it taught the resolver is not so.
            self.known.forget()
        # Only now: a transaction that failed must leave the records as they were.
        work.errors, work.frame = trial.errors, trial.frame
        return resolved

    def _try(self, work: Work) -> Resolution | str:
        claim = work.claim
        with transaction.atomic(), connection.cursor() as cursor:
            # Losing this commit in a crash only means doing it again; the merge's commit makes it durable.
            cursor.execute("SET LOCAL synchronous_commit = off")
            hold_import(cursor, import_id=claim.import_id)
            if self._before is not None:
                self._before(cursor, work.frame)
            resolution = self.known.resolve(cursor, claim=claim, frame=work.frame, now=self._now())
            work.reject(resolution.errors)
            self._reject_repeated_lines(work)
            tripped = limit_tripped(cursor, job=self._job, claim=claim, rejected=work.rejected, ignored=work.ignored)
            if tripped is None:
                self._note_bad_orders(cursor, work)
                self._mark_resolved(cursor, work, resolution)
                self._changes.resolved(resolution)
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
        values = {"now": self._now(), "resolution": as_json(summary)}
        compare_and_set(cursor, resolve_sql.chunk_resolved, claim=work.claim, values=values)

    def _reject_repeated_lines(self, work: Work) -> None:
        """Once it is settled which records are accepted: only an accepted one makes a later one a repetition."""
        if self._job.profile.rules.duplicates == "reject":
            work.reject([duplicate_line(ordinal) for ordinal in repeated_lines(work.frame, job=self._job)])

    def _note_bad_orders(self, cursor: CursorWrapper, work: Work) -> None:
        """Under partial_orders = reject: remember the orders of which a record was rejected."""
        if not self._job.two_passes or not work.errors:
            return
        origin = self._reader.sources[work.claim.source]
        ids = origin.validator.order_ids_of(
            work.batch,
            sorted({error.ordinal for error in work.errors}),
            carry=work.carry,
            torn={defect.ordinal: _torn_fields(work.batch, defect.ordinal, origin) for defect in work.batch.defects},
        )
        if ids:
            cursor.execute(resolve_sql.bad_orders_add, {"import_id": work.claim.import_id, "ids": "\x1f".join(ids)})


def _torn_fields(batch: Batch, ordinal: int, origin: OpenSource) -> list[str]:
    """What a damaged record seems to say; good enough to tell which order it belonged to."""
    dialect = origin.dialect
    text = batch.raw(ordinal).decode(dialect.encoding, errors="replace").replace("\0", "\ufffd")
    reader = csv.reader([text], delimiter=dialect.delimiter, quotechar=dialect.quote or '"')
    with suppress(csv.Error):
        return next(reader, [])
    return []


def _resolution_from(stored: dict[str, Any]) -> Resolution:
    """What an earlier attempt resolved; its epoch is unknown, so the users are looked up again."""
    return Resolution(
        errors=[FieldError(**error) for error in stored.get("errors", [])],
        counts=dict(stored.get("counts", {})),
        epoch=-1,
    )
