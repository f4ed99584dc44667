"""Appending to the outbox, inside the transaction of the change that it tells of."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db.backends.utils import CursorWrapper
from psycopg2 import Binary

from config.kernel.sql import load_queries
from orders.outbox import bulk
from orders.outbox.events import Event

queries = load_queries("orders.outbox", "append")

EVENTS: Final = "{events}"
"""Where a statement has the query that yields the events."""


def append_bulk(cursor: CursorWrapper, *, order_ids: Sequence[str], type: str, source: str) -> None:
    """
    Write one entry for many newly placed orders (version 1 of each), and the receipt that tells when all were sent.

    Args:
        order_ids: in file order; at least one.
        source: who placed them ("import:12/3"); there is only one entry of a source.
    """
    payload: Any = Binary(bulk.encode(order_ids))
    cursor.execute(queries.bulk, {"type": type, "orders": len(order_ids), "payload": payload, "source": source})


def append_selected(
    cursor: CursorWrapper, *, events: str, parameters: Mapping[str, Any], kind: str, type: str, source: str
) -> int:
    """
    Write an entry for each event that a query yields.

    The row locks of what the events tell of must be held.

    Args:
        events: a query with the columns position (their order), key, version, partition_key, placed_at, time and
            data (JSON as text), and `parameters` of it.
        kind: "order" or "import".
    Returns:
        how many there were.
    """
    values = {**parameters, "kind": kind, "type": type, "source": source}
    cursor.execute(queries.selected.replace(EVENTS, events), values)
    return int(cursor.rowcount)


def append_given(cursor: CursorWrapper, *, event: Event, kind: str, source: str) -> None:
    """Write an entry for an event whose content is known. Arguments as for `append_selected`."""
    parameters = {
        "key": event.key,
        "version": event.version,
        "partition_key": event.partition_key,
        "placed_at": event.placed_at,
        "time": event.time,
        "data": event.data.decode(),
    }
    append_selected(cursor, events=queries.given, parameters=parameters, kind=kind, type=event.type, source=source)
