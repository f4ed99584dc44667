"""A batch of records: what of it are events, and how far it takes its partitions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from django.db import DataError, IntegrityError
from kafka import TopicPartition

from reports.consuming.dead_letters import Refused
from reports.consuming.group import Records
from reports.events import InvalidEventError, OrderEvent, decode
from reports.projection import Applied, Position


@dataclass(frozen=True, slots=True)
class Batch:
    """Records, decoded."""

    events: list[OrderEvent]
    refused: list[Refused]


def decoded(records: Records) -> Batch:
    """Part the events from what is none."""
    batch = Batch([], [])
    for record in chain.from_iterable(records.values()):
        try:
            batch.events.append(decode(record))
        except InvalidEventError as error:
            batch.refused.append(Refused(record, str(error)))
    return batch


def offsets_after(records: Records) -> dict[TopicPartition, int]:
    """Where to go on reading."""
    return {partition: found[-1].offset + 1 for partition, found in records.items()}


def missed(records: Records, known: Mapping[tuple[str, int], int]) -> dict[TopicPartition, int]:
    """
    How many records lie between what was read before and these; none is not told.

    Args:
        known: by topic and partition the offset at which reading had to go on.
    """
    gaps = {
        partition: found[0].offset - known.get((partition.topic, partition.partition), found[0].offset)
        for partition, found in records.items()
    }
    return {partition: gap for partition, gap in gaps.items() if gap > 0}


def is_read_again(records: Records, known: Mapping[tuple[str, int], int]) -> bool:
    """
    Whether some of these records were written before. Then versions do not tell what the history has: the reports may
    be made again from the topic just now, and know of no order.

    Args:
        known: as above.
    """
    return any(
        found[0].offset < known.get((partition.topic, partition.partition), 0) for partition, found in records.items()
    )


def positions(
    batch: Batch, after: Mapping[TopicPartition, int], ends: Mapping[int, int], member: str
) -> list[Position]:
    """What is written about the partitions."""
    return [_position(batch, partition, offset, ends, member) for partition, offset in after.items()]


def _position(batch: Batch, partition: TopicPartition, offset: int, ends: Mapping[int, int], member: str) -> Position:
    events = [event for event in batch.events if event.partition == partition.partition]
    refused = [each for each in batch.refused if each.record.partition == partition.partition]
    return Position(
        topic=partition.topic,
        partition=partition.partition,
        offset=offset,
        end_offset=max(offset, ends.get(partition.partition, offset)),
        events=len(events),
        dead_letters=len(refused),
        member=member,
        last_event_at=_moment(events[-1].time) if events else None,
    )


def _moment(text: str) -> str | None:
    """A time that Postgres takes for one, too; it is only shown."""
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        return None


def unstorable(events: Sequence[OrderEvent], apply: Callable[[Sequence[OrderEvent]], Applied]) -> dict[str, str]:
    """
    Apply events in ever smaller parts until it is known which ones Postgres refuses; the others have their effect.

    Returns:
        the ids of the refused ones, with what Postgres says.
    """
    try:
        apply(events)
    except (DataError, IntegrityError) as error:
        if len(events) == 1:
            return {events[0].id: str(error).strip()}
        middle = len(events) // 2
        return {**unstorable(events[:middle], apply), **unstorable(events[middle:], apply)}
    return {}
