"""An event as it is sent: independent of the table it came from and of the client that sends it."""

from datetime import datetime
from typing import Final, Literal, NamedTuple

ORDERS: Final = "orders"
IMPORTS: Final = "imports"
Topic = Literal["orders", "imports"]


class Event(NamedTuple):
    """
    One event.

    Args:
        topic: which one, without prefix and version ("orders", "imports").
        id: `ce_id`: the same whenever the event is sent again ("o553:2", "import:12:completed").
        type: `ce_type`.
        key: what it is about: the order's id, or the import's.
        version: of the order; 1 for an import.
        partition_key: the record's key in Kafka: the user's id, of a guest the order's.
        placed_at: when the order was made, which decides the generation of partitions; of an import its end.
        time: `ce_time` as it is sent: when this version was made (RFC 3339, UTC with Z).
        data: JSON in UTF-8.
    """

    topic: Topic
    id: str
    type: str
    key: str
    version: int
    partition_key: str
    placed_at: datetime
    time: str
    data: bytes


def order_event_id(key: str, version: int) -> str:
    """`ce_id` of an order in a version."""
    return f"{key}:{version}"
