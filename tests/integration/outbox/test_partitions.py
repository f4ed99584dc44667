"""Partitions: made ahead, dropped when all is acknowledged, and never under an open writer."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from orders.outbox.models import Entry, Lane, Receipt
from orders.outbox.partitions import name_of, tend_partitions
from tests.integration.outbox.reading import Reader
from tests.integration.outbox.writing import write, write_all

Connect = Callable[[], Any]


def partitions() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'outbox_entry'::regclass")
        return {name for (name,) in cursor.fetchall()}


def today() -> date:
    with connection.cursor() as cursor:
        cursor.execute("SELECT (now() AT TIME ZONE 'UTC')::date")
        found: date = cursor.fetchone()[0]
        return found


def add_day(day: date) -> str:
    """A partition of the past."""
    name = name_of(day)
    with connection.cursor() as cursor:
        bounds = (f"{day} 00:00+00", f"{day + timedelta(days=1)} 00:00+00")
        cursor.execute(f"CREATE TABLE {name} PARTITION OF outbox_entry FOR VALUES FROM (%s) TO (%s)", bounds)
    return name


def write_on(own: Any, day: date, key: str) -> None:
    """An entry of that day."""
    with own.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outbox_entry (lane, kind, type, key, version, partition_key, placed_at, time, orders,"
            " payload, source, created_at)"
            " VALUES (0, 'order', 't', %s, 1, '', now(), '', 1, '{}', '', %s)",
            [key, f"{day} 12:00+00"],
        )


@pytest.fixture
def old(reader: Reader, settings: Any) -> date:
    """A day that is over for longer than entries are kept."""
    settings.OUTBOX_RETENTION_DAYS = 7
    return today() - timedelta(days=8)


def test_days_ahead_are_made_beside_open_writers(reader: Reader, connect: Connect) -> None:
    ahead = [name_of(today() + timedelta(days=days)) for days in (2, 3)]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {', '.join(ahead)}")
    writer = connect().cursor()
    writer.execute("BEGIN")
    write(writer, "o1")
    assert tend_partitions().made == ahead
    writer.execute("COMMIT")
    assert set(ahead) <= partitions()
    assert [event.key for event in reader.drain()] == ["o1"]
    tended = tend_partitions()
    assert (tended.made, tended.dropped, tended.kept, tended.busy) == ([], [], [], [])


def test_made_partitions_are_like_the_first_ones(reader: Reader) -> None:
    name = name_of(today() + timedelta(days=3))
    described = "SELECT attname, atttypid, attnotnull FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
    indexes = "SELECT regexp_replace(indexdef, '^.* USING', '') FROM pg_indexes WHERE tablename = %s ORDER BY 1"
    with connection.cursor() as cursor:
        cursor.execute(described, [name])
        before = cursor.fetchall()
        cursor.execute(indexes, [name])
        before += cursor.fetchall()
        cursor.execute(f"DROP TABLE {name}")
        tend_partitions()
        cursor.execute(described, [name])
        after = cursor.fetchall()
        cursor.execute(indexes, [name])
        assert after + cursor.fetchall() == before


def test_what_is_acknowledged_and_old_goes_with_its_receipts(reader: Reader, connect: Connect, old: date) -> None:
    name, young = add_day(old), add_day(old + timedelta(days=1))
    write_on(connect(), old, "o1")
    noon = datetime(old.year, old.month, old.day, 12, tzinfo=UTC)
    Receipt.objects.create(source="import:1/0", entry_id=1, lane=8, orders=1, published_at=noon, created_at=noon)
    Receipt.objects.create(source="import:1/1", entry_id=2, lane=8, orders=1, created_at=noon)
    reader.drain()
    assert tend_partitions().dropped == [name]
    assert young in partitions()
    assert [receipt.source for receipt in Receipt.objects.all()] == ["import:1/1"]
    assert not Entry.objects.exists()


def test_what_is_not_acknowledged_stays(reader: Reader, connect: Connect, old: date) -> None:
    name = add_day(old)
    write_all(connect(), ["o1"])
    reader.drain()
    write_on(connect(), old, "late")
    assert tend_partitions().kept == [name]
    assert [event.key for event in reader.drain()] == ["late"]
    assert tend_partitions().dropped == [name]


def test_an_open_writer_is_neither_overlooked_nor_held_up(reader: Reader, connect: Connect, old: date) -> None:
    name = add_day(old)
    writer, other = connect(), connect()
    with writer.cursor() as cursor:
        cursor.execute("BEGIN")
        write_on(writer, old, "o1")
        assert tend_partitions().busy == [name]
        with other.cursor() as another:
            # Nobody queues behind a lock that was given up.
            another.execute("SET statement_timeout = '20s'")
            write(another, "o2")
        assert sorted(event.key for event in reader.drain()) == ["o2"]
        cursor.execute("COMMIT")
    assert tend_partitions().kept == [name]
    assert [event.key for event in reader.drain()] == ["o1"]
    assert tend_partitions().dropped == [name]


def test_lanes_that_nobody_ever_read_keep_everything(database: str, connect: Connect, old: date) -> None:
    Lane.objects.update(position=None)
    name = add_day(old)
    write_on(connect(), old, "o1")
    assert tend_partitions().kept == [name]


def test_a_lane_of_another_database_keeps_everything(reader: Reader, connect: Connect, old: date) -> None:
    name = add_day(old)
    write_on(connect(), old, "o1")
    reader.drain()
    Lane.objects.filter(lane=0).update(system_identifier=1)
    assert tend_partitions().kept == [name]


def test_what_fell_into_the_default_partition_is_read_and_removed(reader: Reader, connect: Connect, old: date) -> None:
    write_on(connect(), old, "o1")
    tend_partitions()
    assert Entry.objects.count() == 1
    assert [event.key for event in reader.drain()] == ["o1"]
    tend_partitions()
    assert not Entry.objects.exists()


def test_a_day_whose_entries_are_in_the_default_partition_is_left_there(reader: Reader, connect: Connect) -> None:
    name = name_of(today())
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {name}")
    write_all(connect(), ["o1"])
    assert name not in tend_partitions().made
    assert [event.key for event in reader.drain()] == ["o1"]
