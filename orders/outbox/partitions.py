"""
Looking after the partitions of the outbox: making those of the days to come, dropping those that nobody needs.

A writer never waits long: a partition is attached under a lock that lets writers through, and dropping one gives up
after 100 ms, to be tried again an hour later, when some transaction holds the table for longer than that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg2 import sql

from config.kernel.sql import load_queries
from orders.outbox.guard import halt_strangers

log = structlog.get_logger(__name__)
queries = load_queries("orders.outbox", "partitions")

DAYS_AHEAD: Final = 3
PREFIX: Final = "outbox_entry_"
# lock_not_available, query_canceled (by the timeouts), deadlock_detected, check_violation (the default partition got a
# row of that day meanwhile)
PASSING: Final = {"55P03", "57014", "40P01", "23514"}


@dataclass
class Tended:
    """
    What was done.

    `kept` are partitions that are old enough but hold something that is not acknowledged, `busy` those that somebody
    would have had to wait for.
    """

    made: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)


def tend_partitions() -> Tended:
    """
    Make the partitions of today and the days ahead; drop acknowledged ones older than OUTBOX_RETENTION_DAYS.

    Run by relays every hour; several at once do no harm.
    """
    tended = Tended()
    with transaction.atomic(), connection.cursor() as cursor:
        halt_strangers(cursor)
        cursor.execute(queries.today)
        (today,) = cursor.fetchone()
        cursor.execute(queries.existing)
        existing = [name for (name,) in cursor.fetchall()]
    for ahead in range(DAYS_AHEAD + 1):
        _make(tended, existing, today + timedelta(days=ahead))
    oldest = today - timedelta(days=settings.OUTBOX_RETENTION_DAYS)
    for name in existing:
        if day_of(name) < oldest:
            _drop(tended, name)
    _prune_default(oldest)
    if tended.made or tended.dropped or tended.kept or tended.busy:
        log.info("partitions_tended", **vars(tended))
    return tended


def name_of(day: date) -> str:
    """Name of a day's partition."""
    return f"{PREFIX}{day:%Y%m%d}"


def day_of(name: str) -> date:
    """The day of a partition's name."""
    return datetime.strptime(name.removeprefix(PREFIX), "%Y%m%d").replace(tzinfo=UTC).date()


def _make(tended: Tended, existing: list[str], day: date) -> None:
    name = name_of(day)
    if name in existing:
        return
    try:
        with _alone() as cursor:
            cursor.execute(_filled(queries.in_default, day))
            if cursor.fetchone()[0]:
                # Its entries stay where they are: to move them would be to lock out writers.
                return
            cursor.execute(_filled(queries.create, day))
            cursor.execute(_filled(queries.attach, day))
    except _Busy:
        tended.busy.append(name)
    else:
        tended.made.append(name)


def _drop(tended: Tended, name: str) -> None:
    day = day_of(name)
    try:
        with _alone() as cursor:
            cursor.execute(_filled(queries.lock, day))
            # Nobody writes to it now, and this statement sees all that was ever committed to it.
            cursor.execute(_filled(queries.unacknowledged, day))
            if cursor.fetchone()[0]:
                tended.kept.append(name)
                return
            cursor.execute(_filled(queries.drop, day))
            cursor.execute(_filled(queries.receipts_delete, day))
    except _Busy:
        tended.busy.append(name)
    else:
        tended.dropped.append(name)


def _prune_default(oldest: date) -> None:
    try:
        removed = 1
        while removed:
            with _alone() as cursor:
                cursor.execute(_filled(queries.default_prune, oldest - timedelta(days=1)))
                removed = cursor.rowcount
    except _Busy:
        return


class _Busy(Exception):
    """Somebody else is at it, or would have had to wait for us."""


@contextmanager
def _alone() -> Iterator[CursorWrapper]:
    """A transaction of the only process that looks after partitions, which waits for nobody for long."""
    try:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute(queries.one_at_a_time)
            if not cursor.fetchone()[0]:
                raise _Busy
            cursor.execute(queries.wait_little)
            yield cursor
    except DatabaseError as error:
        if getattr(error.__cause__, "pgcode", None) not in PASSING:
            raise
        raise _Busy from error


def _filled(query: str, day: date) -> sql.Composed:
    begin = datetime.combine(day, time(), UTC)
    return sql.SQL(query).format(
        **{
            "partition": sql.Identifier(name_of(day)),
            "from": sql.Literal(begin.isoformat()),
            "to": sql.Literal((begin + timedelta(days=1)).isoformat()),
        }
    )
