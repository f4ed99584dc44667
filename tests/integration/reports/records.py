"""Records of the topic of orders, made without a broker."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from reports.events import OrderEvent, decode

TOPIC: Final = "sluice.orders.v1"
NOW: Final = datetime(2026, 3, 4, 9, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Record:
    """As kafka-python gives them, as far as it matters here."""

    headers: Sequence[tuple[str, bytes | None]]
    value: bytes | None
    offset: int = 0
    partition: int = 0
    topic: str = TOPIC
    key: bytes | None = None


def data(order_id: str = "o1", version: int = 1, **fields: Any) -> dict[str, Any]:
    """The content of an event; fields that are given are as given."""
    return {
        "order_id": order_id,
        "version": version,
        "user_id": "u1",
        "status": "placed",
        "ordered_at": "2026-03-04T09:12:00Z",
        "country": "DE",
        "currency": "EUR",
        "lines": [{"line_no": 1, "sku": "Shoes", "quantity": 2, "unit_price": "39.9000"}],
        "attributes": None,
        "import": None,
        "created_at": "2026-03-04T09:12:00.123456Z",
        "updated_at": "2026-03-04T09:12:00.123456Z",
        **fields,
    }


def record(content: dict[str, Any], *, offset: int = 0, partition: int = 0, **headers: Any) -> Record:
    """An event as a record."""
    given = {
        "ce_specversion": "1.0",
        "ce_id": f"{content.get('order_id')}:{content.get('version')}",
        "ce_type": "com.sluice.order.placed.v1",
        "ce_source": "/sluice",
        "ce_subject": str(content.get("order_id")),
        "ce_time": str(content.get("updated_at")),
        "content-type": "application/json; charset=utf-8",
        **headers,
    }
    return Record(
        [(name, value.encode(errors="surrogatepass")) for name, value in given.items()],
        json.dumps(content).encode(),
        offset=offset,
        partition=partition,
    )


def event(order_id: str = "o1", version: int = 1, *, offset: int = 0, partition: int = 0, **fields: Any) -> OrderEvent:
    """An event, read."""
    return decode(record(data(order_id, version, **fields), offset=offset, partition=partition))
