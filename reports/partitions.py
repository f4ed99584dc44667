"""
Partitions of the history: made ahead, and dropped when their day is older than EVENT_HISTORY_DAYS.

A day without a partition does no harm: its rows go to the default one.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg2 import sql

from config.kernel.sql import load_queries

log = structlog.get_logger(__name__)
queries: Final = load_queries("reports", "partitions")

DAYS_AHEAD: Final = 3
LOCK_TIMEOUT_MS: Final = 100
"""Whoever reads the history waits behind us while we wait."""
# lock_not_available, deadlock_detected, check_violation (the default partition got a row of that day meanwhile),
# duplicate_table (another consumer was at it)
PASSING: Final = {"55P03", "40P01", "23514", "42P07"}
NAME: Final = re.compile(r"reports_history_(\d{8})")


def keep_up(*, now: datetime) -> None:
    """
    Make the partitions of the next days, and drop those of days that nobody has to know any more.

    Whatever is in the way (a long transaction, a backup) is left for the next time.

    Args:
        now: timezone-aware UTC.
    """
    today = datetime.combine(now.astimezone(UTC).date(), time(), tzinfo=UTC)
    oldest = today - timedelta(days=settings.EVENT_HISTORY_DAYS)
    present = _days()
    for day in (today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD)):
        if day not in present:
            _tried(_make, day)
    for day in sorted(day for day in present if day < oldest):
        _tried(_drop, day)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(queries.default_forget, {"before": oldest})


def _tried(step: Callable[[CursorWrapper, datetime], None], day: datetime) -> None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(queries.partitions_turn, {"milliseconds": str(LOCK_TIMEOUT_MS)})
            if cursor.fetchone()[1]:
                step(cursor, day)
    except DatabaseError as error:
        if getattr(error.__cause__, "pgcode", None) not in PASSING:
            raise
        log.warning("history_partition_in_use", day=day.date().isoformat(), error=str(error).strip())


def _make(cursor: CursorWrapper, day: datetime) -> None:
    bounds = {"start": day, "end": day + timedelta(days=1)}
    cursor.execute(queries.partition_default_is_empty, bounds)
    if cursor.fetchone()[0]:
        names = {"partition": _name(day), **{name: sql.Literal(bound) for name, bound in bounds.items()}}
        cursor.execute(sql.SQL(queries.partition_create).format(**names))
        cursor.execute(sql.SQL(queries.partition_attach).format(**names))


def _drop(cursor: CursorWrapper, day: datetime) -> None:
    cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_name(day)))
    log.info("history_partition_dropped", day=day.date().isoformat())


def _name(day: datetime) -> sql.Identifier:
    return sql.Identifier(f"reports_history_{day:%Y%m%d}")


def _days() -> set[datetime]:
    with connection.cursor() as cursor:
        cursor.execute(queries.partitions_present)
        names = [name for (name,) in cursor.fetchall()]
    found = filter(None, map(NAME.fullmatch, names))
    return {datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC) for match in found}
