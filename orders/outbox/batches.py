"""
What a relay sends: batches, each the difference between two snapshots of a lane (the method of PgQ; ADR 18).

Numbers become visible out of order, so reading "from the last id on" misses what a slow transaction commits late. A
snapshot says exactly which transactions had ended. A batch is what is visible in its own snapshot and was not in the
one before; it is the same whenever it is read, so a relay that was killed goes on in the middle of it.

    batch, read = open_batch(lease), None
    while runs := read_runs(batch, limit=500, after_id=read):
        for run in runs:
            … send run.events; now and then, for what is acknowledged: batch = save(lease, batch, …)
            if run.entry:
                for number, event in expanded(load_entry(batch, run.entry), after_event=…):
                    … the same
        read = runs[-1].last_id
    close(lease, batch)
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple

from django.db import DataError, connection, transaction
from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from orders.outbox.events import IMPORTS, ORDERS, Event, Topic
from orders.outbox.lanes import BULK_LANES
from orders.outbox.leases import Lease, LeaseLostError

queries = load_queries("orders.outbox", "batches")

BIG_BYTES: Final = 4 << 10
"""A payload that is bigger is read alone, so that a page fits into memory."""
SEPARATOR: Final = "\x1f"
"""Between values of a page; ids hold no control characters, and JSON escapes them."""
BULK: Final = "bulk"
IMPORT: Final = "import"
TOPICS: Final[dict[str, Topic]] = {"order": ORDERS, BULK: ORDERS, IMPORT: IMPORTS}
"""By the kind of an entry."""


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
    An entry whose payload is read when its turn comes, see `load_entry`.

    Args:
        kind: "bulk": `event` has the type of all its events, and as data the compressed list of them; "order" and
            "import": `event` is the event, unless its data are empty (see `orders.outbox.models.Entry`).
    """

    id: int
    kind: str
    event: Event


class Run(NamedTuple):
    """
    Entries of a batch that follow each other by id.

    Args:
        events: of those that are events as they stand.
        until_id: the last of these; if there are none, what the run was read after.
        entry: the one behind them, if there is more to do about it.
    """

    events: list[Event]
    until_id: int
    entry: StoredEntry | None

    @property
    def last_id(self) -> int:
        """Where to read on."""
        return self.until_id if self.entry is None else self.entry.id


_event: Any = partial(tuple.__new__, Event)
"""For this is done for every event: in C, in a third of the time of Event._make."""
_in_utc: Any = partial(datetime.fromtimestamp, tz=UTC)


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
    """`open_batches` for one lane."""
    return open_batches([lease]).get(lease.lane)


def open_batches(leases: Sequence[Lease]) -> dict[int, Batch]:
    """
    Of each lane that has something to send, the batch that was begun and not closed, or a new one of all that is new.

    They are committed, and flushed, when this returns, so that whoever sends their entries again sends the same; with
    them everything that was visible, so that nothing is sent which a crash of the database could undo.

    Raises:
        LeaseLostError: somebody else has one of the lanes; none was opened.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        # In the order in which everybody locks several lanes.
        found = {lease.lane: _open(cursor, lease) for lease in sorted(leases, key=lambda lease: lease.lane)}
    return {lane: batch for lane, batch in found.items() if batch is not None}


def _open(cursor: CursorWrapper, lease: Lease) -> Batch | None:
    cursor.execute(queries.held, _of(lease))
    row = cursor.fetchone()
    if row is None:
        raise LeaseLostError([lease.lane])
    position, snapshot, after_id, after_event, until_id = row
    if snapshot is None:
        cursor.execute("SET LOCAL synchronous_commit = on")
        cursor.execute(queries.open, {**_of(lease), "position": position})
        opened = cursor.fetchone()
        if opened is None:
            return None
        (snapshot, after_id, until_id), after_event = opened, 0
    return Batch(lease.lane, position, snapshot, after_id, after_event, until_id)


class Fetched(NamedTuple):
    """A page as the database gives it: see `queries.page`. If it is of one entry, its texts need not be separated."""

    after_id: int
    single: bool
    row: tuple[Any, ...]


def fetch(batch: Batch, *, limit: int, after_id: int | None = None) -> Fetched:
    """
    The part of `read_runs` that waits for the database; arguments as there.

    Raises:
        django.db.DataError: an entry's data are no text.
    """
    after_id = batch.after_id if after_id is None else after_id
    big = BIG_BYTES if limit > 1 else -1
    with connection.cursor() as cursor:
        cursor.execute(queries.page, {**_bounds(batch), "after_id": after_id, "limit": limit, "big": big})
        return Fetched(after_id, limit == 1, cursor.fetchone())


def read_runs(
    batch: Batch, *, limit: int, after_id: int | None = None, fetched: Callable[[], Fetched] | None = None
) -> list[Run]:
    """
    The next entries of a batch; none: it has no more.

    Args:
        limit: so many at most.
        after_id: read on from here; None: from what is acknowledged.
        fetched: gives what somebody else has fetched meanwhile, with the same arguments.
    """
    try:
        return _runs(fetched() if fetched is not None else fetch(batch, limit=limit, after_id=after_id))
    except (InseparableError, DataError):  # so in smaller pages, until the entry is alone: then it need not be text
        if limit == 1:
            raise
        return read_runs(batch, limit=max(1, limit // 8), after_id=after_id)


class InseparableError(Exception):
    """A text has a control character that it should not have."""


def load_entry(batch: Batch, entry: StoredEntry) -> StoredEntry:
    """
    An entry with its payload.

    Raises:
        ValueError, KeyError: an import's data are damaged.
    """
    with connection.cursor() as cursor:
        cursor.execute(queries.payload, {"lane": batch.lane, "id": entry.id})
        event = entry.event._replace(data=bytes(cursor.fetchone()[0]))
    if entry.kind == IMPORT:
        event = event._replace(id=f"import:{event.key}:{json.loads(event.data)['state']}")
    return entry._replace(event=event)


def _runs(fetched: Fetched) -> list[Run]:
    *texts, payloads = fetched.row
    if payloads is None:
        return []
    ids, kinds, *columns = [[text] if fetched.single else text.split(SEPARATOR) for text in texts]
    data = payloads.encode().split(SEPARATOR.encode())
    if len({len(column) for column in (ids, kinds, *columns)} | {len(data)}) != 1:
        raise InseparableError
    events = _events(kinds, columns, data)
    if b"" not in data:
        return [Run(events, int(ids[-1]), None)]
    found, begin, after_id = [], 0, fetched.after_id
    for place in [place for place, each in enumerate(data) if not each]:
        entry = StoredEntry(int(ids[place]), kinds[place], events[place])
        found.append(Run(events[begin:place], int(ids[place - 1]) if place > begin else after_id, entry))
        begin, after_id = place + 1, entry.id
    if begin < len(ids):
        found.append(Run(events[begin:], int(ids[-1]), None))
    return found


def _events(kinds: list[str], columns: list[list[str]], data: list[bytes]) -> list[Event]:
    event_ids, types, keys, versions, partition_keys, placed, times = columns
    topics, when = map(TOPICS.__getitem__, kinds), map(_in_utc, map(float, placed))
    values = (topics, event_ids, types, keys, map(int, versions), partition_keys, when, times, data)
    return list(map(_event, zip(*values, strict=True)))


def save(lease: Lease, batch: Batch, *, after_id: int, after_event: int = 0, acknowledged: int) -> Batch:
    """
    Keep how much of a batch is acknowledged; bulk entries that are get their receipts in the same transaction.

    That is not flushed: what a crash of the database loses of it is sent again, and what is flushed later flushes it.

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
    cursor.execute("SET LOCAL synchronous_commit = off")
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
