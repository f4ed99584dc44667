"""Appending to the outbox, inside the transaction of the change that it tells of."""

from collections.abc import Sequence
from typing import Any, Final

from django.db.backends.utils import CursorWrapper
from psycopg2 import Binary

from config.kernel.sql import load_queries
from orders.outbox import bulk

queries = load_queries("orders.outbox", "append")

PLACED: Final = "com.sluice.order.placed.v1"
AMENDED: Final = "com.sluice.order.amended.v1"
STATUS_CHANGED: Final = "com.sluice.order.status_changed.v1"
CANCELLED: Final = "com.sluice.order.cancelled.v1"


def append_bulk(cursor: CursorWrapper, *, order_ids: Sequence[str], source: str) -> None:
    """
    Write one entry for many newly placed orders (version 1 of each).

    Args:
        order_ids: in file order; none: nothing is written.
        source: who placed them, for people ("import:12/3").
    """
    if order_ids:
        payload: Any = Binary(bulk.encode(order_ids))
        cursor.execute(queries.bulk, {"type": PLACED, "orders": len(order_ids), "payload": payload, "source": source})


def append_orders(cursor: CursorWrapper, *, orders: Sequence[tuple[str, int]], type: str, source: str) -> None:
    """
    Write one entry for each (order id, version), in this order.

    The row locks of these orders must be held.
    """
    if orders:
        ids = "\x1f".join(order_id for order_id, _ in orders)
        versions = [version for _, version in orders]
        cursor.execute(queries.orders, {"type": type, "ids": ids, "versions": versions, "source": source})
