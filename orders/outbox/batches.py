"""
What a relay sends: batches, each the difference between two snapshots of a lane (the method of PgQ; ADR 18).

Numbers become visible out of order, so reading "from the last id on" misses what a slow transaction commits late. A
snapshot says exactly which transactions had ended. A batch is what is visible in its own snapshot and was not in the
one before; it is the same whenever it is read, so a relay that was killed goes on in the middle of it.

    batch, read = open_batch(lease), None
    while page := entries(batch, limit=500, after_id=read):
        for entry in page:
            for number, event in expanded(entry, after_event=…):
                … send; now and then, for what is acknowledged: batch = save(lease, batch, …)
        read = page[-1].id
    close(lease, batch)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from orders.outbox.events import Event
from orders.outbox.lanes import BULK_LANES
from orders.outbox.leases import Lease, LeaseLostError

queries = load_queries("orders.outbox", "batches")

PAGE_BYTES: Final = 2 << 20
"""A page ends with the payload that makes it bigger: of those that are bigger alone at most one is in memory."""


@dataclass(frozen=True, slots=True)
class Batch:
    """
    A batch that was begun.

    Args:
        position: what was acknowledged before it, as a snapshot; None: nothing.
        snapshot: what is visible in it.
        after_id: all its entries up to this one are acknowledged.
        after_event: and so many of the events of the next one.
        until_id: its last entry.
    """

    lane: int
    position: str | None
    snapshot: str
    after_id: int
    after_event: int
    until_id: int


class StoredEntry(NamedTuple):
    """
    An entry as it was read.

    Args:
        kind: "order" or "import": `event` is the event, unless its data are empty (see `orders.outbox.models.Entry`);
            "bulk": `event` has the type of all its events, and as data the compressed list of them.
        orders: how many events it stands for.
    """

    id: int
    kind: str
    orders: int
    event: Event


def lanes_with_news(leases: Sequence[Lease]) -> list[Lease]:
    """Those whose lanes have something to send, by one statement."""
    if not leases:
        return []
    with connection.cursor() as cursor:
        cursor.execute(queries.news, {"lanes": [lease.lane for lease in leases]})
        found = {lane for (lane,) in cursor.fetchall()}
    return [lease for lease in leases if lease.lane in found]


def visible_now() -> str:
    """What is visible now, as a snapshot: while it stays the same, no lane can have news."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_snapshot()::text")
        return str(cursor.fetchone()[0])


def open_batch(lease: Lease) -> Batch | None:
    """
    The batch that was begun and not closed, or a new one of all that is new; None: nothing is.

    It is committed when this returns, so that whoever sends its entries again sends the same.

    Raises:
        LeaseLostError: somebody else has the lane.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(queries.held, _of(lease))
        row = cursor.fetchone()
        if row is None:
            raise LeaseLostError([lease.lane])
        position, snapshot, after_id, after_event, until_id = row
        if snapshot is None:
            cursor.execute(queries.open, {**_of(lease), "position": position})
            opened = cursor.fetchone()
            if opened is None:
                return None
            (snapshot, after_id, until_id), after_event = opened, 0
    return Batch(lease.lane, position, snapshot, after_id, after_event, until_id)


def entries(batch: Batch, *, limit: int, after_id: int | None = None) -> list[StoredEntry]:
    """
    The next entries of a batch by id; none: it has no more.

    Args:
        limit: so many at most; a page also ends with the one that makes it bigger than PAGE_BYTES.
        after_id: read on from here; None: from what is acknowledged.
    """
    values = {
        **_bounds(batch),
        "after_id": batch.after_id if after_id is None else after_id,
        "limit": limit,
        "bytes": PAGE_BYTES,
    }
    page: list[StoredEntry] = []
    with connection.cursor() as cursor:
        cursor.execute(queries.entries, values)
        for number, kind, orders, *event, payload in cursor.fetchall():
            if payload is None:
                data = _payload(cursor, batch.lane, number)
                page.append(StoredEntry(number, kind, orders, Event._make((*event, data))))
                break
            page.append(StoredEntry(number, kind, orders, Event._make((*event, bytes(payload)))))
    return page


def _payload(cursor: CursorWrapper, lane: int, number: int) -> bytes:
    cursor.execute(queries.payload, {"lane": lane, "id": number})
    return bytes(cursor.fetchone()[0])


def save(lease: Lease, batch: Batch, *, after_id: int, after_event: int = 0, acknowledged: int) -> Batch:
    """
    Keep how much of a batch is acknowledged; bulk entries that are get their receipts in the same transaction.

    Args:
        after_id: all entries up to this one are.
        after_event: so many events of the next one are, by the numbers of `expanded`.
        acknowledged: events since the last time, for the statistics.
    Returns:
        the batch as it stands now.
    Raises:
        LeaseLostError: somebody else has the lane; nothing was written.
    """
    values = {"after_id": after_id, "after_event": after_event, "acknowledged": acknowledged}
    with transaction.atomic(), connection.cursor() as cursor:
        _write(cursor, queries.save, lease, batch, values)
        _receive(cursor, batch, until_id=after_id)
    return replace(batch, after_id=after_id, after_event=after_event)


def close(lease: Lease, batch: Batch, *, acknowledged: int = 0) -> None:
    """
    All of a batch is acknowledged: the next one begins where it ends. Arguments and errors as for `save`.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        _write(cursor, queries.close, lease, batch, {"acknowledged": acknowledged})
        _receive(cursor, batch, until_id=batch.until_id)


def _write(cursor: CursorWrapper, query: str, lease: Lease, batch: Batch, values: dict[str, Any]) -> None:
    cursor.execute(query, {**_of(lease), "batch": batch.snapshot, **values})
    if cursor.rowcount != 1:
        raise LeaseLostError([lease.lane])


def _receive(cursor: CursorWrapper, batch: Batch, *, until_id: int) -> None:
    if batch.lane in BULK_LANES and until_id > batch.after_id:
        cursor.execute(queries.receipts, {**_bounds(batch), "after_id": batch.after_id, "until_id": until_id})


def _of(lease: Lease) -> dict[str, Any]:
    return {"lane": lease.lane, "owner": lease.owner, "epoch": lease.epoch}


def _bounds(batch: Batch) -> dict[str, Any]:
    return {
        "lane": batch.lane,
        "position": batch.position,
        "batch": batch.snapshot,
        "until_id": batch.until_id,
    }
