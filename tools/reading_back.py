"""
A reader of the events that knows nothing of ours but docs/events.md: kafka-python alone, no consumer group.

It reads a topic to which nobody writes any more, and adds up what the newest versions of orders say.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kafka import KafkaConsumer, TopicPartition

PATIENCE_MS = 20_000
IDLE_MS = 1_500
"""
The embedded broker says of a partition's end where its last batch begins, so there may be more behind it: reading ends
when no more comes.
"""


@dataclass
class ReadBack:
    """
    Attributes:
        events: all that were read, repetitions too.
        ids: distinct ce_ids.
        disorder: events with a version that is not the one after the one before of the same order, but for repetitions.
        ends: (partition, offset) at which reading ended.
    """

    events: int = 0
    ids: set[str] = field(default_factory=set)
    types: Counter[str] = field(default_factory=Counter)
    disorder: list[str] = field(default_factory=list)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)

    def add(self, headers: dict[str, str], data: dict[str, Any]) -> None:
        """One event of an order."""
        self.events += 1
        self.types[headers["ce_type"]] += 1
        seen = headers["ce_id"] in self.ids
        self.ids.add(headers["ce_id"])
        known = self.orders.get(data["order_id"])
        if data["version"] != (known["version"] + 1 if known else 1) and not seen:
            self.disorder.append(headers["ce_id"])
        if known is None or data["version"] > known["version"]:
            self.orders[data["order_id"]] = data

    def sums(self) -> dict[str, tuple[int, int, Decimal]]:
        """By currency: orders, pieces, and the revenue of lines with a price."""
        found: dict[str, list[Any]] = {}
        for order in self.orders.values():
            of_currency = found.setdefault(order["currency"], [0, 0, Decimal(0)])
            of_currency[0] += 1
            for line in order["lines"]:
                of_currency[1] += line["quantity"]
                if line["unit_price"] is not None:
                    of_currency[2] += line["quantity"] * Decimal(line["unit_price"])
        return {currency: (row[0], row[1], row[2]) for currency, row in found.items()}


def messages(servers: list[str], topic: str) -> Iterator[Any]:
    """
    Everything that is in a topic; each partition in its order.

    Raises:
        TimeoutError: the broker does not hand it out.
    """
    consumer = KafkaConsumer(
        bootstrap_servers=servers, enable_auto_commit=False, group_id=None, max_poll_records=5_000,
        fetch_max_bytes=64 << 20, max_partition_fetch_bytes=8 << 20,
    )  # fmt: skip
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        ends = consumer.end_offsets(partitions)
        left = {partition for partition in partitions if ends[partition] > 0}
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        while batches := consumer.poll(timeout_ms=PATIENCE_MS if left else IDLE_MS):
            for partition, records in batches.items():
                yield from records
                if records[-1].offset >= ends[partition] - 1:
                    left.discard(partition)
        if left:
            raise TimeoutError(f"{topic} does not go on; {len(left)} of its partitions were not read to their ends.")
    finally:
        consumer.close()


def read_orders(servers: list[str], topic: str) -> ReadBack:
    """All events of orders."""
    found = ReadBack()
    for record in messages(servers, topic):
        found.add({name: value.decode() for name, value in record.headers}, json.loads(record.value))
        found.ends[record.partition] = record.offset + 1
    return found


def read_imports(servers: list[str], topic: str) -> list[dict[str, Any]]:
    """The content of all events of imports."""
    return [json.loads(record.value) for record in messages(servers, topic)]
