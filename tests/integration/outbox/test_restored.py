"""A database that was restored from a copy: lanes halt, and adopting it goes on without losing anything."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from orders.outbox.adopt import RelaysRunningError, adopt_database
from orders.outbox.batches import open_batch, read_runs, save
from orders.outbox.guard import AHEAD, OTHER_CLUSTER
from orders.outbox.leases import claim, depart
from orders.outbox.models import Entry, Lane
from tests.integration.outbox.reading import Reader, by_key
from tests.integration.outbox.writing import write, write_all

Connect = Callable[[], Any]


def restore(*, ahead: int = 1_000_000_000, cluster: int | None = 7) -> None:
    """
    Make the database look like a copy: numbers of transactions and snapshots are those of another cluster.

    Args:
        ahead: by how much that one was further.
        cluster: its system identifier; None: the same (a copy that was restored into an older backup of this one).
    """
    moved = f"(xmin::text::bigint + {ahead})::text || ':' || (xmax::text::bigint + {ahead}) || ':'"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE outbox_entry SET xid = (xid::text::bigint + %s)::text::xid8", [ahead])
        for column in ("position", "batch"):
            cursor.execute(
                f"UPDATE outbox_lane SET {column} = (SELECT ({moved})::pg_snapshot"
                f" FROM (SELECT pg_snapshot_xmin({column}) AS xmin, pg_snapshot_xmax({column}) AS xmax) s)"
                f" WHERE {column} IS NOT NULL"
            )
        if cluster is not None:
            cursor.execute("UPDATE outbox_lane SET system_identifier = %s", [cluster])
        cursor.execute("UPDATE outbox_lane SET owner = '', leased_until = NULL")
        cursor.execute("DELETE FROM outbox_relay")


@pytest.mark.parametrize(("cluster", "reason"), [(7, OTHER_CLUSTER), (None, AHEAD)])
def test_lanes_halt(reader: Reader, connect: Connect, cluster: int | None, reason: str) -> None:
    for number in range(40):
        write_all(connect(), [f"o{number}"])
    reader.drain()
    read = {lane.lane for lane in Lane.objects.exclude(position=None)}
    restore(cluster=cluster)
    given = [lease.lane for lease in claim("new", most=12, seconds=60)]
    halted = dict(Lane.objects.exclude(halted_reason="").values_list("lane", "halted_reason"))
    assert set(halted.values()) == {reason}
    assert set(halted) == (read if cluster is None else set(range(12)))
    assert not set(given) & set(halted)


def test_adopting_sends_what_is_not_acknowledged_and_nothing_else(reader: Reader, connect: Connect) -> None:
    writer = connect()
    write_all(writer, [f"sent{number}" for number in range(20)])
    reader.drain()
    write_all(writer, [f"unsent{number}" for number in range(20)])
    restore()
    # Written here since, with numbers that look as if they had been acknowledged long ago.
    write_all(writer, [f"new{number}" for number in range(20)])
    adopted = adopt_database()
    assert (adopted.entries, adopted.events) == (40, 40)
    write_all(writer, ["newer"])
    again = Reader("again").claim()
    assert sorted(by_key(again.drain())) == sorted(
        [*(f"unsent{number}" for number in range(20)), *(f"new{number}" for number in range(20)), "newer"]
    )
    assert again.drain() == []


def test_adopting_keeps_the_order_of_an_order(reader: Reader, connect: Connect) -> None:
    writer = connect()
    for version in range(1, 6):
        with writer.cursor() as cursor:
            write(cursor, "o1", version)
    (lease,) = [lease for lease in reader.leases if lease.lane == Entry.objects.earliest("id").lane]
    batch = open_batch(lease)
    assert batch is not None
    (run,) = read_runs(batch, limit=2)
    save(lease, batch, after_id=run.until_id, acknowledged=2)
    restore()
    with writer.cursor() as cursor:
        write(cursor, "o1", 6)
    adopt_database()
    assert by_key(Reader("again").claim().drain()) == {"o1": [3, 4, 5, 6]}


def test_adopting_misses_nobody_who_is_writing(reader: Reader, connect: Connect) -> None:
    open_writer = connect().cursor()
    open_writer.execute("BEGIN")
    write(open_writer, "open")
    restore()
    adopt_database()
    again = Reader("again").claim()
    assert again.drain() == []
    open_writer.execute("COMMIT")
    assert [event.key for event in again.drain()] == ["open"]


def test_adopting_waits_for_relays_to_stop(reader: Reader) -> None:
    with pytest.raises(RelaysRunningError, match="reader"):
        adopt_database()
    depart("reader")
    adopt_database()


def test_relays_that_ran_lose_their_lanes(reader: Reader, connect: Connect) -> None:
    write_all(connect(), ["o1"])
    reader.drain()
    Lane.objects.update(system_identifier=7)
    claim("other", most=1, seconds=60)
    assert set(Lane.objects.values_list("owner", flat=True)) == {""}
