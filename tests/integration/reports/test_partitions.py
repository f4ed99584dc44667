"""Daily partitions of the history: made ahead, dropped when their time is over, and never in anybody's way."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from reports import partitions as partitions_module
from reports.history import history_of, place_of
from reports.models import HistoryEntry
from reports.partitions import keep_up
from reports.projection import apply
from tests.integration.reports.records import TOPIC, event

NOW = datetime(2026, 3, 4, 23, 30, tzinfo=UTC)
DAYS = 3


@pytest.fixture(autouse=True)
def _kept_three_days(settings: Any) -> None:
    settings.EVENT_HISTORY_DAYS = DAYS


def partitions() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
            " WHERE inhparent = 'reports_history'::regclass ORDER BY 1"
        )
        return [name.removeprefix("reports_history_") for (name,) in cursor.fetchall()]


@pytest.mark.django_db
def test_days_are_made_ahead_and_dropped() -> None:
    keep_up(now=NOW)
    keep_up(now=NOW)
    assert partitions() == ["20260304", "20260305", "20260306", "default"]
    apply([event("old")], now=NOW)
    apply([event("new")], now=NOW + timedelta(days=1))
    keep_up(now=NOW + timedelta(days=DAYS))
    assert HistoryEntry.objects.count() == 2
    keep_up(now=NOW + timedelta(days=DAYS + 1))
    assert [entry.order_id for entry in HistoryEntry.objects.all()] == ["new"]
    assert "20260304" not in partitions()


@pytest.mark.django_db
def test_events_of_a_day_without_a_partition_are_kept_as_long() -> None:
    apply([event("o1")], now=NOW)
    keep_up(now=NOW)
    assert partitions() == ["20260305", "20260306", "default"]
    keep_up(now=NOW + timedelta(days=DAYS))
    assert HistoryEntry.objects.count() == 1
    keep_up(now=NOW + timedelta(days=DAYS + 1))
    assert HistoryEntry.objects.count() == 0


def test_a_partition_that_is_in_use_is_left_for_the_next_time(
    database: str, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions_module, "LOCK_TIMEOUT_MS", 50)
    keep_up(now=NOW)
    reader = connect()
    reader.autocommit = False
    reader.cursor().execute("SELECT count(*) FROM reports_history")
    keep_up(now=NOW + timedelta(days=30))
    assert "20260304" in partitions()
    reader.rollback()
    keep_up(now=NOW + timedelta(days=30))
    assert "20260304" not in partitions()


def test_who_writes_is_in_nobodys_way(database: str, connect: Any) -> None:
    keep_up(now=NOW)
    writer = connect()
    writer.autocommit = False
    writer.cursor().execute("INSERT INTO reports_history VALUES ('o1:1', 'o1', 1, 't', %s, 0, 0, %s)", [TOPIC, NOW])
    keep_up(now=NOW + timedelta(days=1))
    assert "20260307" in partitions()
    writer.rollback()


@pytest.mark.django_db
def test_a_row_that_gets_into_the_default_partition_at_the_last_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    apply([event("o1")], now=NOW)
    monkeypatch.setattr(partitions_module.queries, "partition_default_is_empty", "SELECT true")
    keep_up(now=NOW)
    assert partitions() == ["20260305", "20260306", "default"]


@pytest.mark.django_db
def test_the_history_of_an_order() -> None:
    apply([event("o1", 1, offset=4), event("o1", 2, offset=9, partition=5), event("o2")], now=NOW)
    newest, first = history_of("o1")
    assert (newest.event_id, first.event_id) == ("o1:2", "o1:1")
    assert place_of(newest) == {"topic": TOPIC, "partition": 5, "offset": 9}
