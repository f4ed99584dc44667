"""
Which partition an event goes to, for ever.

All versions of an order must share a partition, also when the topic was given more of them in between. So a number of
partitions counts for orders that were *placed* since then (a generation), and an order keeps that of its time.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.utils import timezone

from config.kernel.kafka.topics import PARTITIONS, partition_of
from orders.outbox.events import Event
from orders.outbox.models import Partitioning

ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Since when the first generation of a topic counts."""
NOTICE_SECONDS: Final = 60
"""How long before it counts a generation is written down: relays read them every few seconds."""

Generations = Mapping[str, Sequence[tuple[datetime, int]]]
"""Of each topic ("orders", "imports"), the oldest first: since when, how many partitions."""


def generations() -> Generations:
    """All that were written down."""
    found: dict[str, list[tuple[datetime, int]]] = {}
    for row in Partitioning.objects.order_by("topic", "since"):
        found.setdefault(row.topic, []).append((row.since, row.partitions))
    return found


def newest(topic: str) -> int:
    """How many partitions the newest generation of a topic has; of one that has none, how many it is to get."""
    row = Partitioning.objects.filter(topic=topic).order_by("since").last()
    return row.partitions if row is not None else PARTITIONS


def generation_begin(*, topic: str, partitions: int) -> datetime:
    """
    Write down that orders placed from now on (in a minute; the first generation: always) are spread over so many.

    The broker must have that many already. Nothing is written when as many count already, or soon will.

    Returns:
        since when it counts.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # Both loops of the first relay come here at once: the second one finds what the first one wrote.
        cursor.execute("LOCK TABLE outbox_partitioning IN SHARE ROW EXCLUSIVE MODE")
        last = Partitioning.objects.filter(topic=topic).order_by("since").last()
        if last is not None and last.partitions == partitions:
            return last.since
        since = ALWAYS if last is None else timezone.now() + timedelta(seconds=NOTICE_SECONDS)
        return Partitioning.objects.create(topic=topic, since=since, partitions=partitions).since


def partitioner(known: Generations) -> Callable[[Event], int]:
    """
    A function that gives an event's partition.

    Args:
        known: must have a generation of each topic.
    """
    single = {topic: rows[0][1] for topic, rows in known.items() if len(rows) == 1}
    many = {topic: ([since for since, _ in rows], rows) for topic, rows in known.items() if len(rows) > 1}

    def partition(event: Event) -> int:
        number = single.get(event.topic)
        if number is None:
            since, rows = many[event.topic]
            number = rows[max(0, bisect_right(since, event.placed_at) - 1)][1]
        return partition_of(event.partition_key, number)

    return partition
