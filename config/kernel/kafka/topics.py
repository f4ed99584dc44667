"""
The topics: what they are called, and how they are made.

Code speaks of "orders", "orders-dlq" and "imports". On the broker they have a version, for an incompatible change gets
a topic of its own (docs/adr/0021-event-versions.md), and a prefix (KAFKA_TOPIC_PREFIX), so that installations can share
a broker.
"""

from typing import Final
from zlib import crc32

from django.conf import settings

PARTITIONS: Final = 6
"""Of a new topic."""
NAMES: Final = {
    "orders": "sluice.orders.v1",
    "orders-dlq": "sluice.orders.dlq.v1",
    "imports": "sluice.imports.v1",
}


def topic_name(topic: str) -> str:
    """
    What a topic is called on the broker.

    Args:
        topic: "orders", "orders-dlq" or "imports".
    Raises:
        KeyError: there is no such topic.
    """
    return f"{settings.KAFKA_TOPIC_PREFIX}{NAMES[topic]}"


def partition_of(partition_key: str, partitions: int) -> int:
    """
    The partition of a key among so many: CRC-32 of its UTF-8, so that every language computes the same.

    Args:
        partitions: of the generation that counts, see `orders.outbox.partitioning`.
    """
    return crc32(partition_key.encode()) % partitions
