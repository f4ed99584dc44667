"""
Making the reports again from the topic, where that is kept for ever, beside consumers that run.

Everything is forgotten, then each partition is read from its beginning to where its end was at the start. Consumers go
on meanwhile; whoever applies an order's newest version first, it counts once. Until all is read the reports are
incomplete; broken off, it has to be done again.
"""

from collections.abc import Callable
from typing import Any, Final

from django.db import connection
from django.utils import timezone
from kafka import KafkaConsumer, TopicPartition

from config.kernel.kafka.clients import kafka_python_settings
from config.kernel.kafka.topics import topic_name
from config.kernel.sql import load_queries
from reports.consuming.batch import decoded
from reports.projection import apply

CLIENT_ID: Final = "sluice-reports-replay"
BATCH: Final = 2_000
POLL_MS: Final = 1_000
POLLS_BEYOND: Final = 100
"""At most so many after the end, until one is empty: the embedded broker tells of an end that is too early."""
queries: Final = load_queries("reports", "rebuild")


class TopicNotCompleteError(Exception):
    """The topic does not begin with the first event."""


class NoSuchTopicError(Exception):
    """The broker has no topic of this name."""


def replay(*, show: Callable[[int, int], None] = lambda *_: None) -> None:
    """
    Read the whole topic into the reports.

    Args:
        show: told after each batch: records read, and how many there are.
    Raises:
        TopicNotCompleteError, NoSuchTopicError: nothing was changed.
        kafka.errors.KafkaError, django.db.Error: the reports are incomplete.
    """
    topic = topic_name("orders")
    consumer = KafkaConsumer(
        **kafka_python_settings(client_id=CLIENT_ID), group_id=None, auto_offset_reset="earliest",
        enable_auto_commit=False, allow_auto_create_topics=False, max_poll_records=BATCH, metrics_enabled=False,
    )  # fmt: skip
    try:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        if not partitions:
            raise NoSuchTopicError(f"There is no topic {topic} on the broker. manage.py kafka_topics creates it.")
        for partition, offset in consumer.beginning_offsets(partitions).items():
            if offset > 0:
                raise TopicNotCompleteError(
                    f"The topic {topic} does not hold all events any more: partition {partition.partition} begins at "
                    f"offset {offset}. Rebuild from Postgres instead: leave --from-topic out."
                )
        ends: dict[TopicPartition, int] = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        with connection.cursor() as cursor:
            cursor.execute(queries.rebuild_forget)
        _read(consumer, ends, show)
    finally:
        consumer.close(autocommit=False)


def _read(consumer: Any, ends: dict[TopicPartition, int], show: Callable[[int, int], None]) -> None:
    read, whole, beyond = 0, sum(ends.values()), 0
    while beyond < POLLS_BEYOND:
        records = consumer.poll(timeout_ms=POLL_MS)
        if all(consumer.position(partition) >= end for partition, end in ends.items()):
            beyond = beyond + 1 if records else POLLS_BEYOND
        apply(decoded(records).events, checked=True, now=timezone.now())
        read += sum(map(len, records.values()))
        show(min(read, whole), whole)
