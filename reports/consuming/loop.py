"""
`manage.py consume_orders`: read, write, commit, again.

The effect of a batch is committed to Postgres before its offsets are to Kafka, so after whatever happens in between the
batch comes again and has no effect (`reports.projection`). The loop may be broken off anywhere.
"""

import threading
import time
from collections.abc import Sequence
from enum import Enum
from functools import partial
from typing import Any, Final

import structlog
from django.db import DataError, IntegrityError
from django.utils import timezone
from kafka.errors import KafkaError

from reports import metrics, partitions
from reports.consuming.batch import Batch, decoded, is_read_again, missed, offsets_after, positions, unstorable
from reports.consuming.dead_letters import DeadLetters, Refused
from reports.consuming.group import Group, Records
from reports.consuming.patience import Patience, Told
from reports.events import OrderEvent
from reports.history import positions_known
from reports.projection import Applied, Position, apply

log = structlog.get_logger(__name__)

SEEN_SECONDS: Final = 10.0
UPKEEP_SECONDS: Final = 3600.0
EMPTY_ROUNDS: Final = 3
"""Until nothing more is expected. The end that the embedded broker tells is that of its last batch's first record."""

Place = tuple[str, int, int]


class Until(Enum):
    """When to stop without being told."""

    NEVER = "never"
    ONE_BATCH = "one batch"
    IDLE = "idle"


class OrderConsumer:
    """
    One member of the group; run as many as the topic has partitions, if need be.

    Args:
        group: name of the consumer group.
        batch: records in one transaction at most.
        session_seconds: after which others take over from it when it is silent.
        until: when to end without being told.
        told: set by whoever wants it to end; the batch in hand is finished, unless something is waited for.
        member: who this is, for people.
    """

    def __init__(
        self, *, group: str, batch: int, session_seconds: int, until: Until, told: threading.Event, member: str
    ) -> None:  # fmt: skip
        self._open = partial(Group, group=group, batch=batch, session_seconds=session_seconds)
        self._until, self._told, self._member = until, told, member
        self._group: Group | None = None
        self._in_hand: Records = {}
        self._buried: set[Place] = set()
        self._dead_letters = DeadLetters()
        self._patience = Patience(told, self._keep)
        self._empty_rounds = 0
        self._seen_at = self._kept_up_at = float("-inf")

    def run(self) -> None:
        """Consume until told, or until there is no more to do."""
        try:
            while not self._told.is_set():
                self._patience.until_done(self._upkeep)
                if self._patience.until_done(self._round):
                    break
        except Told:
            log.info("consumer_told_to_end", records_in_hand=sum(map(len, self._in_hand.values())))
        finally:
            self._leave()
            self._dead_letters.close()

    def _round(self) -> bool:
        """Read and consume one batch; returns whether that was all."""
        if self._group is None:
            self._group = self._open()
        group = self._group
        try:
            self._in_hand = group.records()
            self._empty_rounds = 0 if self._in_hand else self._empty_rounds + 1
            if self._in_hand:
                self._consume(group)
                return self._until is Until.ONE_BATCH
            self._show_life(group)
            return self._until is Until.IDLE and self._empty_rounds >= EMPTY_ROUNDS and group.is_at_end()
        except KafkaError:
            self._leave()
            raise

    def _consume(self, group: Group) -> None:
        self._buried.clear()
        self._patience.until_done(self._notice_gaps)
        with metrics.batches.time():
            self._patience.until_done(lambda: self._project(group))
        group.commit(offsets_after(self._in_hand))
        self._in_hand = {}

    def _project(self, group: Group) -> None:
        """Let the records in hand have their effect. May be repeated: each time with what is in hand then."""
        started = time.perf_counter()
        batch = decoded(self._in_hand)
        self._bury(batch.refused)
        try:
            applied = self._applied(group, batch)
        except (DataError, IntegrityError):
            batch = self._without_unstorable(batch)
            applied = self._applied(group, batch)
        metrics.events.labels(metrics.EFFECTIVE).inc(applied.effective)
        metrics.events.labels(metrics.LATE).inc(applied.late)
        log.info(
            "batch_projected", effective=applied.effective, late=applied.late, refused=len(batch.refused),
            duration_ms=round((time.perf_counter() - started) * 1000),
        )  # fmt: skip

    def _notice_gaps(self) -> None:
        """The broker goes on at what it still has, without a word about what it has not any more."""
        gaps = missed(self._in_hand, positions_known())
        for partition, events in gaps.items():
            metrics.missed.inc(events)
            log.error("events_missed", partition=partition.partition, events=events, mend="manage.py rebuild_reports")

    def _applied(self, group: Group, batch: Batch) -> Applied:
        told = positions(batch, offsets_after(self._in_hand), group.ends(), self._member)
        applied = self._apply(batch.events, positions=told)
        self._seen_at = time.monotonic()
        return applied

    def _apply(self, events: Sequence[OrderEvent], *, positions: Sequence[Position] = ()) -> Applied:
        again = is_read_again(self._in_hand, positions_known())
        return apply(events, positions=positions, checked=again, now=timezone.now())

    def _without_unstorable(self, batch: Batch) -> Batch:
        """An event that passed all checks and still does not fit goes where those go that are no events."""
        errors = unstorable(batch.events, self._apply)
        at = {
            (event.topic, event.partition, event.offset): errors[event.id]
            for event in batch.events
            if event.id in errors
        }
        records = (record for found in self._in_hand.values() for record in found)
        refused = [Refused(record, at[place_of(record)]) for record in records if place_of(record) in at]
        self._bury(refused)
        return Batch([event for event in batch.events if event.id not in errors], [*batch.refused, *refused])

    def _bury(self, refused: list[Refused]) -> None:
        """Each record once, as long as this process lives."""
        found = [each for each in refused if place_of(each.record) not in self._buried]
        self._dead_letters.put(found)
        self._buried.update(place_of(each.record) for each in found)
        metrics.events.labels(metrics.DEAD_LETTER).inc(len(found))
        for record, error in found:
            log.error(
                "event_refused", topic=record.topic, partition=record.partition, offset=record.offset, error=error
            )

    def _keep(self) -> None:
        """Stay a member while something is waited for; what others take over stays in hand, and does no harm there."""
        if self._group is None or not self._in_hand:
            return
        more = self._group.keep()
        for partition, records in more.items():
            self._in_hand[partition] = [*self._in_hand.get(partition, []), *records]

    def _show_life(self, group: Group) -> None:
        """Tell now and then how far the partitions are, also when nothing comes."""
        if time.monotonic() - self._seen_at > SEEN_SECONDS:
            told = positions(Batch([], []), group.positions(), group.ends(), self._member)
            apply([], positions=told, now=timezone.now())
            self._seen_at = time.monotonic() if told else self._seen_at

    def _upkeep(self) -> None:
        if time.monotonic() - self._kept_up_at > UPKEEP_SECONDS:
            partitions.keep_up(now=timezone.now())
            self._kept_up_at = time.monotonic()

    def _leave(self) -> None:
        if self._group is not None:
            group, self._group = self._group, None
            group.close()


def place_of(record: Any) -> Place:
    """Where a record was read."""
    return record.topic, record.partition, record.offset
