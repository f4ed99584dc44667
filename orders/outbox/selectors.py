"""How far the outbox has got: for metrics, the admin, back-pressure and the pages of imports."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection

from config.kernel.sql import load_queries
from orders.outbox.lanes import ALL_LANES, BULK_LANES
from orders.outbox.models import Lane

queries = load_queries("orders.outbox", "selectors")

COUNTED_ENTRIES: Final = 2_000
"""Entries of a lane that are counted; beyond, their number is estimated."""


@dataclass(frozen=True)
class LaneLag:
    """
    How far behind a lane is.

    Args:
        owner: the relay that has it; "": none.
        lag_seconds: age of the oldest event that is not acknowledged; 0: there is none. Of the first ones, if there are
            many.
        events_behind: events that are not acknowledged; `exact` says whether they were counted.
        acknowledged_at: when the broker last acknowledged something.
        published: events ever acknowledged.
        halted_reason: why it stands still until somebody acts; "": it does not.
    """

    lane: int
    owner: str
    lag_seconds: float
    events_behind: int
    exact: bool
    acknowledged_at: datetime | None
    published: int
    halted_reason: str

    @property
    def bulk(self) -> bool:
        """Whether it has the entries of bulk loads."""
        return self.lane in BULK_LANES


@dataclass(frozen=True)
class Publishing:
    """
    How much of what an import placed has been acknowledged by the broker.

    Args:
        entries, published: bulk entries, one a chunk, and those of them that are acknowledged as a whole.
        events, events_published: newly placed orders in them.
        published_at: when the last one was; None: not all are, or there are none (their receipts are kept for
            OUTBOX_RETENTION_DAYS).
    """

    entries: int
    published: int
    events: int
    events_published: int
    published_at: datetime | None


def lanes(among: Sequence[int] = ALL_LANES) -> list[LaneLag]:
    """These lanes, in their order. Takes some milliseconds, however many events are behind."""
    with connection.cursor() as cursor:
        cursor.execute(queries.lags, {"cap": COUNTED_ENTRIES, "lanes": [*among]})
        rows = cursor.fetchall()
    found = []
    for lane, owner, owned, acknowledged_at, published, halted, entries, events, first, last, age, end in rows:
        exact = end is None
        behind = events if exact else _estimated(events, first=first, last=last, end=end)
        found.append(
            LaneLag(
                lane=lane,
                owner=owner if owned else "",
                lag_seconds=max(age or 0.0, 0.0) if entries else 0.0,
                events_behind=int(behind),
                exact=exact,
                acknowledged_at=acknowledged_at,
                published=published,
                halted_reason=halted,
            )
        )
    return found


def bulk_lag_seconds() -> float:
    """Age of the oldest event of a bulk load that is not acknowledged; 0: there is none."""
    return max((lane.lag_seconds for lane in lanes(BULK_LANES)), default=0.0)


def publishing(import_id: int) -> Publishing:
    """How far the orders that an import placed are published."""
    with connection.cursor() as cursor:
        cursor.execute(queries.publishing, {"prefix": f"import:{import_id}"})
        entries, published, events, events_published, last = cursor.fetchone()
    done = last if entries and published == entries else None
    return Publishing(entries, published, events, events_published, done)


def lanes_halted() -> int:
    """Lanes that stand still until somebody acts."""
    return Lane.objects.exclude(halted_reason="").count()


def entries_kept() -> int:
    """Entries of the table, about: a rolled back transaction leaves a gap in their numbers, nothing more."""
    with connection.cursor() as cursor:
        cursor.execute(queries.entries_kept)
        return int(cursor.fetchone()[0])


def _estimated(events: int, *, first: int, last: int, end: int) -> float:
    """As dense as those that were counted: numbers are given to all lanes in turn."""
    counted = max(last - first, 1)
    return events * max(end - first, counted) / counted
