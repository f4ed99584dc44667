"""Merge a chunk: one transaction holds all its facts."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import polars as pl
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from ingestion import disagreements
from ingestion.changes import Changes
from ingestion.copying import copy_frame, joined, query_frame
from ingestion.job import Claim, Job
from ingestion.metrics import count_chunk
from ingestion.queue import ImportStoppedError
from ingestion.rejects import errors_by_code, rejects_write
from ingestion.services import import_fail
from ingestion.stages.merge import (
    Merged,
    OrdersCollideError,
    duplicate_line,
    merge_by_copy,
    merge_by_sets,
    repeated_lines,
)
from ingestion.stages.resolve import Resolution, Resolver, users_missing, without_ordinals
from ingestion.validation import FieldError
from ingestion.worker.fencing import as_json, compare_and_set, hold_import
from ingestion.worker.reading import ChunkReader
from ingestion.worker.turns import Turns
from ingestion.worker.work import Work

resolve_sql = load_queries("ingestion", "resolve")
merge_sql = load_queries("ingestion", "merge")

MAX_COLLISIONS: Final = 5


class ChunkMerger:
    """
    Merges the chunks of one import for one worker.

    Args:
        known: the worker's resolver, which knows the deletion epoch.
        changes: is told which existing rows a merge changed.
    """

    def __init__(
        self,
        *,
        job: Job,
        reader: ChunkReader,
        known: Resolver,
        turns: Turns,
        now: Callable[[], datetime],
        changes: Changes,
    ) -> None:
        self._job = job
        self._reader = reader
        self._known = known
        self._turns = turns
        self._now = now
        self._changes = changes
        self._collided = False
        ids, profile = job.profile.ids, job.profile
        own_texts = (*profile.templates.values(), *profile.defaults.values())
        self._escapes_of_profile = any(
            "\\" in text for text in (*own_texts, ids.order_prefix, ids.user_prefix, ids.item_prefix)
        )

    def merge(self, work: Work, resolution: Resolution) -> None:
        """
        Merge by COPY; if an order exists already, wait for the lower chunks and merge set by set.

        Raises:
            LeaseLostError, ImportStoppedError, TurnYieldedError: nothing was committed.
        """
        if not self._collided:
            try:
                self._merge_once(work, resolution, merge=merge_by_copy)
            except OrdersCollideError:
                self._collided = True
            else:
                return
        self._turns.wait(work.claim, resolved=False)
        merged = self._merge_sets(work, resolution)
        # Stay on the set-wise path only while chunks really collide.
        self._collided = merged.facts.get("orders_inserted", 0) < work.frame.height // 1000

    def stop_at(self, work: Work, *, reason: str) -> None:
        """An error limit tripped in this chunk: lower chunks finish, this one leaves its rejects, no other merges."""
        if not self._job.two_passes:  # else none of them merges before all are resolved, and this one never is
            self._turns.wait(work.claim, resolved=False)
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
                "outcomes": as_json(outcomes),
                "errors": as_json(errors_by_code(work.errors)),
                "ignored": as_json(ignored),
            }
            compare_and_set(cursor, merge_sql.chunk_stopped, claim=work.claim, values=values)
            if not import_fail(import_id=work.claim.import_id, now=now, reason=reason):
                raise ImportStoppedError

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
                "outcomes": as_json({name: number for name, number in outcomes.items() if number}),
                "errors": as_json(errors_by_code(errors)),
                "ignored": as_json(work.ignored),
                "facts": as_json(_sums(resolution.counts, made_again, merged.facts, counted)),
                "displaced": as_json(merged.displaced),
                "digests": as_json(merged.digests),
            }
            compare_and_set(cursor, merge_sql.chunk_done, claim=claim, values=values)
            self._demote(cursor, merged.demoted)
            hold_import(cursor, import_id=job.import_id)
            self._changes.merged(merged)
        count_chunk(outcomes)
        return merged

    def _escape_free(self, work: Work) -> bool:
        """Whether no value of the chunk can have a character that COPY escapes; looking at the bytes is cheap."""
        carried = self._job.profile.rules.continuation  # texts from another chunk, of which these bytes say nothing
        return not carried and not self._escapes_of_profile and not work.batch.controls and b"\\" not in work.batch.data

    def _same_users(self, cursor: CursorWrapper, work: Work, resolution: Resolution) -> dict[str, int]:
        """Hold the gate; if users were deleted since the resolve, make those of this chunk again, and count them."""
        epoch = self._known.enter_gate(cursor)
        if epoch != resolution.epoch and users_missing(cursor, frame=work.frame):
            again = self._known.recheck(cursor, claim=work.claim, frame=work.frame, now=self._now())
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
        kept = self._known.stored(cursor, frame=work.frame) if work.claim.resolved else resolution.kept
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
                batch = self._reader.batch(other)
                rejects_write(cursor, claim=other, batch=batch, errors=[duplicate_line(record - other.first_record)])


def _sums(*counters: Mapping[str, int]) -> dict[str, int]:
    """Counters added up by name."""
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return dict(total)
