"""
Events of orders: telling the outbox what changed.

All that is told is told in the transaction of the change, by somebody who holds the row lock of the order. A bulk load
writes one entry for all orders that it places (`placed_in_bulk`), which is made into events only when it is sent. So
whoever changes such an order before that first keeps the event of its first version (`keep_pending`, ADR 18).
"""

from collections.abc import Iterator, Sequence
from typing import Final

from django.db import connection
from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from orders import states
from orders.outbox.append import append_bulk, append_given, append_selected
from orders.outbox.events import ORDERS, Event, order_event_id

queries = load_queries("orders", "events")

PLACED: Final = "com.sluice.order.placed.v1"
AMENDED: Final = "com.sluice.order.amended.v1"
STATUS_CHANGED: Final = "com.sluice.order.status_changed.v1"
CANCELLED: Final = "com.sluice.order.cancelled.v1"

EXPANDED_AT_ONCE: Final = 2_000
"""Orders read in one statement."""


class EventsMissingError(Exception):
    """An order that was to be told of is not in the version told: the caller's transaction must not commit."""


def expand(pairs: Sequence[tuple[str, int]]) -> Iterator[Event]:
    """
    The events of orders that are still in these versions, in this order; the others are told by entries of their own.

    Every page is read in one statement, so header and lines of an order belong together.

    Args:
        pairs: (order id, version).
    """
    for start in range(0, len(pairs), EXPANDED_AT_ONCE):
        with connection.cursor() as cursor:
            cursor.execute(queries.documents, _named(pairs[start : start + EXPANDED_AT_ONCE]))
            rows = cursor.fetchall()
        for _, key, version, status, partition_key, placed_at, time, data in rows:
            yield Event(
                topic=ORDERS,
                id=order_event_id(key, version),
                type=_type_of(version, status),
                key=key,
                version=version,
                partition_key=partition_key,
                placed_at=placed_at,
                time=time,
                data=data.encode(),
            )


def tell(cursor: CursorWrapper, *, orders: Sequence[tuple[str, int]], type: str, source: str) -> None:
    """
    Tell of orders as they are now, in this order.

    Args:
        orders: (id, version), whose row locks are held.
        source: who changed them, for people ("api", "import:12/3"; at most 64 characters).
    Raises:
        EventsMissingError: one of them has another version.
    """
    if not orders:
        return
    told = append_selected(
        cursor, events=queries.documents, parameters=_named(orders), kind="order", type=type, source=source
    )
    if told != len(orders):
        raise EventsMissingError(f"{told} events were written for {len(orders)} changed orders")


def placed_in_bulk(cursor: CursorWrapper, *, order_ids: Sequence[str], source: str) -> None:
    """
    Tell of many newly placed orders (version 1 of each) at once; none: nothing is written.

    Args:
        order_ids: in file order.
        source: "import:<id>/<chunk>" of all of them; nobody else may use it.
    """
    if order_ids:
        append_bulk(cursor, order_ids=order_ids, type=PLACED, source=source)


def pending(cursor: CursorWrapper, order_ids: Sequence[str]) -> list[str]:
    """Those of these locked orders that are still as a bulk load placed them and were not all sent yet."""
    if not order_ids:
        return []
    cursor.execute(queries.pending, {"ids": "\x1f".join(order_ids)})
    return [order_id for (order_id,) in cursor.fetchall()]


def keep_pending(cursor: CursorWrapper, *, order_ids: Sequence[str], source: str) -> None:
    """
    Before a change of locked orders: write the first version of those whose bulk entry was not sent yet.

    Args:
        order_ids: in the order in which they are going to be told.
        source: who is about to change them.
    """
    tell(cursor, orders=[(order_id, 1) for order_id in pending(cursor, order_ids)], type=PLACED, source=source)


def pending_event(cursor: CursorWrapper, order_id: str) -> Event | None:
    """As `keep_pending` for one order, for those who do not know yet whether it changes: see `keep`."""
    found = pending(cursor, [order_id])
    return next(expand([(found[0], 1)])) if found else None


def keep(cursor: CursorWrapper, event: Event, *, source: str) -> None:
    """Write an event that `pending_event` found before the change."""
    append_given(cursor, event=event, kind="order", source=source)


def _named(pairs: Sequence[tuple[str, int]]) -> dict[str, str]:
    # Ids hold no control characters. Strings are quicker than lists to send, to read and to plan.
    versions = ",".join(str(version) for _, version in pairs)
    return {"ids": "\x1f".join(key for key, _ in pairs), "versions": f"{{{versions}}}"}


def _type_of(version: int, status: str) -> str:
    """By its content; what was told in its own time has the type that was told."""
    if version == 1:
        return PLACED
    return CANCELLED if status == states.CANCELLED else AMENDED
