"""
The projection: events of orders → sums, in one transaction for a whole batch (ADR 20).

An event has an effect only if its version is higher than the one that is known of its order. So whatever comes twice,
late, or in another order ends in the same rows, and no list of read events has to be kept for that.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from reports.deltas import Deltas, rows
from reports.events import OrderEvent, State

LOCK_TIMEOUT_MS: Final = 20_000
queries: Final = load_queries("reports", "projection")


@dataclass(frozen=True, slots=True)
class Position:
    """
    How far a partition has been read with this batch.

    Args:
        offset: the next one to be read.
        end_offset: the next one to be written, as last heard.
        events, dead_letters: how many of this batch.
        member: who reads it, for people.
        last_event_at: ISO 8601, when the batch's last event was made; None: it has none.
    """

    topic: str
    partition: int
    offset: int
    end_offset: int
    events: int
    dead_letters: int
    member: str
    last_event_at: str | None


@dataclass(frozen=True, slots=True)
class Applied:
    """How many events changed what is known of their orders, and how many came late or again."""

    effective: int
    late: int


def apply(
    events: Sequence[OrderEvent], *, positions: Iterable[Position] = (), checked: bool = False, now: datetime
) -> Applied:
    """
    Let events have their effect, all or none of them.

    Args:
        positions: written in the same transaction.
        checked: look into the history for every event, because the known versions do not tell what is there.
        now: timezone-aware UTC, as the time at which they were consumed.
    Raises:
        django.db.Error: nothing was changed. Deadlocks with other consumers do not happen; a rebuild that takes its
            time ends in an OperationalError after `LOCK_TIMEOUT_MS`.
    """
    once = {event.id: event for event in reversed(events)}  # the first of those that are there twice
    newest: dict[str, State] = {}
    for event in once.values():
        state = event.state
        if state.order_id not in newest or newest[state.order_id].version < state.version:
            newest[state.order_id] = state
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(queries.patience, {"milliseconds": str(LOCK_TIMEOUT_MS)})
        deltas = Deltas()
        known = _states_written(cursor, newest, deltas)
        fresh = [event for event in once.values() if event.state.version > known.get(event.state.order_id, 0)]
        late = [event for event in once.values() if event.state.version <= known.get(event.state.order_id, 0)]
        _history_written(cursor, [] if checked else fresh, queries.history_insert, now)
        _history_written(cursor, list(once.values()) if checked else late, queries.history_insert_missing, now)
        _sums_written(cursor, deltas)
        _positions_written(cursor, positions, now)
    return Applied(effective=len(fresh), late=len(events) - len(fresh))


def _states_written(cursor: CursorWrapper, newest: dict[str, State], deltas: Deltas) -> dict[str, int]:
    """Write what is new of orders, and collect what it changes; returns the versions that were known before."""
    made = _inserted(cursor, newest)
    for order_id in made:
        deltas.change(None, newest[order_id])
    known, changed = {}, []
    for old in _locked(cursor, [order_id for order_id in newest if order_id not in made]):
        known[old.order_id] = old.version
        new = newest[old.order_id]
        if new.version > old.version:
            changed.append(new)
            deltas.change(old, new)
    if changed:
        cursor.execute(queries.states_update, {"states": _states(changed)})
    return known


def _sums_written(cursor: CursorWrapper, deltas: Deltas) -> None:
    for query, sums in (
        (queries.users_add, deltas.users),
        (queries.items_add, deltas.items),
        (queries.countries_add, deltas.countries),
        (queries.days_add, deltas.days),
    ):
        found = rows(sums)
        if found:
            cursor.execute(query, {"rows": _json(found)})


def _inserted(cursor: CursorWrapper, newest: dict[str, State]) -> set[str]:
    if not newest:
        return set()
    cursor.execute(queries.states_insert, {"states": _states(newest.values())})
    return {order_id for (order_id,) in cursor.fetchall()}


def _locked(cursor: CursorWrapper, order_ids: list[str]) -> list[State]:
    if not order_ids:
        return []
    cursor.execute(queries.states_lock, {"ids": order_ids})
    return [State._make([*row, [tuple(item) for item in json.loads(items)]]) for *row, items in cursor.fetchall()]


def _states(states: Iterable[State]) -> str:
    return _json([state._asdict() for state in states])


def _history_written(cursor: CursorWrapper, events: Sequence[OrderEvent], query: str, now: datetime) -> None:
    if not events:
        return
    entries = [
        {
            "event_id": event.id, "order_id": event.state.order_id, "version": event.state.version, "type": event.type,
            "topic": event.topic, "partition": event.partition, "offset": event.offset,
        }
        for event in events
    ]  # fmt: skip
    cursor.execute(query, {"entries": _json(entries), "now": now})


def _positions_written(cursor: CursorWrapper, positions: Iterable[Position], now: datetime) -> None:
    found = [{name: getattr(position, name) for name in Position.__slots__} for position in positions]
    if found:
        cursor.execute(queries.positions_set, {"positions": _json(found), "now": now})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
