"""Batches: nothing missed, nothing twice, in order, whatever commits when."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from django.db import connection

from orders.outbox import batches
from orders.outbox.append import queries
from orders.outbox.batches import (
    Batch,
    Run,
    StoredEntry,
    close,
    lanes_with_news,
    load_entry,
    open_batch,
    read_runs,
    save,
)
from orders.outbox.bulk import encode
from orders.outbox.expansion import expanded
from orders.outbox.lanes import ALL_LANES
from orders.outbox.leases import LeaseLostError, claim
from orders.outbox.models import Entry, Lane, Receipt
from orders.outbox.relay.loop import PARCEL_EVENTS
from tests.integration.outbox.reading import Reader, by_key
from tests.integration.outbox.writing import write, write_all

Connect = Callable[[], Any]
EVERYBODY_SECONDS = 60


def read(batch: Batch, *, limit: int, after_id: int | None = None) -> Run:
    (run,) = read_runs(batch, limit=limit, after_id=after_id)
    return run


def entry_of(batch: Batch) -> StoredEntry:
    entry = read(batch, limit=10).entry
    assert entry is not None
    return load_entry(batch, entry)


def versions(run: Run) -> list[int]:
    return [event.version for event in run.events]


def read_all(batch: Batch, *, limit: int) -> list[tuple[str, str, bytes]]:
    """Of each event (topic, id, data), of each entry that stands for others (kind, id, data)."""
    last, found = batch.after_id, []
    while runs := read_runs(batch, limit=limit, after_id=last):
        for run in runs:
            found += [(str(event.topic), event.id, event.data) for event in run.events]
            if run.entry is not None:
                entry = load_entry(batch, run.entry)
                first = entry.kind if entry.kind == "bulk" or not entry.event.data else entry.event.topic
                found.append((first, entry.event.id, entry.event.data))
        last = runs[-1].last_id
    return found


def test_an_entry_is_sent_once(reader: Reader, connect: Connect) -> None:
    write_all(connect(), ["o1", "o2"])
    assert sorted(event.id for event in reader.drain()) == ["o1:1", "o2:1"]
    assert reader.drain() == []
    write_all(connect(), ["o3"])
    assert [event.id for event in reader.drain()] == ["o3:1"]
    assert sum(Lane.objects.values_list("published", flat=True)) == 3


def test_what_commits_late_is_not_missed(reader: Reader, connect: Connect) -> None:
    """Its number is lower than what was sent long ago."""
    slow, quick = connect(), connect()
    with slow.cursor() as cursor:
        cursor.execute("BEGIN")
        write(cursor, "slow")
        for number in range(30):
            write_all(quick, [f"quick{number}", f"other{number}"])
            assert len(reader.drain()) == 2
        assert lanes_with_news(reader.leases) == []
        cursor.execute("COMMIT")
    assert [event.key for event in reader.drain()] == ["slow"]
    assert reader.drain() == []


def test_what_is_rolled_back_is_not_sent(reader: Reader, connect: Connect) -> None:
    with connect().cursor() as cursor:
        cursor.execute("BEGIN")
        write(cursor, "never")
        cursor.execute("SAVEPOINT s")
        write(cursor, "nor this")
        cursor.execute("ROLLBACK")
        cursor.execute("BEGIN")
        cursor.execute("SAVEPOINT s")
        write(cursor, "kept")
        cursor.execute("SAVEPOINT t")
        write(cursor, "not kept")
        cursor.execute("ROLLBACK TO t")
        cursor.execute("COMMIT")
    assert [event.key for event in reader.drain()] == ["kept"]


def test_a_batch_stays_the_same_while_others_commit(reader: Reader, connect: Connect) -> None:
    (lease,) = [lease for lease in reader.leases if lease.lane == _lane_of("o1")]
    writer = connect()
    late = connect().cursor()
    late.execute("BEGIN")
    write(late, "o1", 1)
    write_all(writer, ["o1"])
    first = open_batch(lease)
    assert first is not None
    late.execute("COMMIT")
    write_all(writer, ["o1"])
    again = open_batch(lease)
    assert again == first
    assert len(read(again, limit=10).events) == 1
    close(lease, again)
    assert len(reader.drain()) == 2


def test_a_batch_goes_on_where_it_was_saved(reader: Reader, connect: Connect) -> None:
    writer = connect()
    for version in range(1, 21):
        with writer.cursor() as cursor:
            write(cursor, "o1", version)
    (lease,) = lanes_with_news(reader.leases)
    batch = open_batch(lease)
    assert batch is not None
    first = read(batch, limit=8)
    save(lease, batch, after_id=first.until_id, acknowledged=8)
    resumed = open_batch(lease)
    assert resumed is not None
    assert versions(read(resumed, limit=100)) == list(range(9, 21))
    assert versions(read(resumed, limit=2, after_id=first.until_id + 3)) == [12, 13]


def test_big_entries_are_read_alone(reader: Reader, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BIG_BYTES", 1000)
    big = f'"{"x" * 2000}"'
    with connect().cursor() as cursor:
        for version, data in enumerate(["1", "2", big, big, "5"], start=1):
            write(cursor, "o1", version, data=data)
    (lease,) = lanes_with_news(reader.leases)
    batch = open_batch(lease)
    assert batch is not None
    runs = read_runs(batch, limit=100)
    assert [versions(run) for run in runs] == [[1, 2], [], [5]]
    assert [run.entry and run.entry.event.data for run in runs] == [b"", b"", None]
    assert [data.decode() for _, _, data in read_all(batch, limit=100)] == ["1", "2", big, big, "5"]


def test_pages_of_the_most_that_is_not_big_fit_into_memory() -> None:
    assert PARCEL_EVENTS * batches.BIG_BYTES * len(ALL_LANES) < 64 << 20


def test_entries_of_all_kinds_in_one_lane(reader: Reader, connect: Connect) -> None:
    """Old ones without data and those that hold what no text may hold are among them."""
    with connect().cursor() as cursor:
        for version in range(1, 10):
            write(cursor, "o1", version, data=f'{{"version":{version}}}')
    numbers = list(Entry.objects.order_by("id").values_list("id", flat=True))
    Entry.objects.filter(id=numbers[1]).update(payload=b"")
    Entry.objects.filter(id=numbers[3]).update(payload=b"\x1f\xff")
    Entry.objects.filter(id=numbers[4]).update(kind="import", key="7", payload=b'{"state":"completed"}')
    Entry.objects.filter(id=numbers[5]).update(type="odd\x1ftype")
    Entry.objects.filter(id=numbers[7]).update(kind="bulk", source="import:1/0", payload=b"SB1")
    (lease,) = lanes_with_news(reader.leases)
    batch = open_batch(lease)
    assert batch is not None
    for limit in (100, 3):
        assert_all_kinds(read_all(batch, limit=limit))


def assert_all_kinds(found: list[tuple[str, str, bytes]]) -> None:
    assert found == [
        ("orders", "o1:1", b'{"version":1}'),
        ("order", "o1:2", b""),
        ("orders", "o1:3", b'{"version":3}'),
        ("orders", "o1:4", b"\x1f\xff"),
        ("imports", "import:7:completed", b'{"state":"completed"}'),
        ("orders", "o1:6", b'{"version":6}'),
        ("orders", "o1:7", b'{"version":7}'),
        ("bulk", "import:1/0", b"SB1"),
        ("orders", "o1:9", b'{"version":9}'),
    ]


def test_a_new_lane_begins_with_what_is_there(database: str, connect: Connect) -> None:
    write_all(connect(), [f"o{number}" for number in range(50)])
    assert len(Reader().claim().drain()) == 50


def test_nothing_new_is_no_batch(reader: Reader) -> None:
    assert lanes_with_news(reader.leases) == []
    assert [open_batch(lease) for lease in reader.leases] == [None] * 12
    assert lanes_with_news([]) == []


def test_whoever_lost_the_lane_writes_nothing(reader: Reader, connect: Connect) -> None:
    write_all(connect(), ["o1", "o2"])
    lease = lanes_with_news(reader.leases)[0]
    batch = open_batch(lease)
    assert batch is not None
    Lane.objects.update(leased_until="2020-01-01T00:00:00Z")
    (taken, *_) = [new for new in claim("other", most=12, seconds=60) if new.lane == lease.lane]
    before = Lane.objects.values().get(lane=lease.lane)
    with pytest.raises(LeaseLostError):
        open_batch(lease)
    with pytest.raises(LeaseLostError):
        save(lease, batch, after_id=batch.until_id, acknowledged=1)
    with pytest.raises(LeaseLostError):
        close(lease, batch)
    assert Lane.objects.values().get(lane=lease.lane) == before
    assert open_batch(taken) == batch


@pytest.fixture
def bulk(reader: Reader, connect: Connect) -> Callable[..., None]:
    """Orders that an import placed, and their bulk entry."""

    def load(source: str, ids: list[str]) -> None:
        _, import_id, chunk = source.replace("/", ":").split(":")
        with connect().cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(
                "INSERT INTO orders_order (id, status, country, currency, version, import_version, import_id,"
                " import_chunk, import_record) SELECT id, 'placed', '', '', 1, 1, %s, %s, n"
                " FROM unnest(%s::text[]) WITH ORDINALITY AS given(id, n)",
                [import_id, chunk, ids],
            )
            values = {"type": "t", "orders": len(ids), "payload": psycopg2.Binary(encode(ids)), "source": source}
            cursor.execute(queries.bulk, values)
            cursor.execute("COMMIT")

    return load


def test_a_bulk_entry_goes_on_in_its_middle(reader: Reader, bulk: Callable[..., None]) -> None:
    bulk("import:1/0", [f"o{number}" for number in range(9)])
    (lease,) = lanes_with_news(reader.leases)
    batch = open_batch(lease)
    assert batch is not None
    entry = entry_of(batch)
    assert entry.kind == "bulk"
    batch = save(lease, batch, after_id=batch.after_id, after_event=4, acknowledged=4)
    assert open_batch(lease) == batch
    assert Receipt.objects.get().published_at is None
    rest = list(expanded(entry, after_event=4))
    assert [(number, event.id) for number, event in rest] == [(n, f"o{n - 1}:1") for n in range(5, 10)]
    close(lease, batch, acknowledged=5)
    assert Receipt.objects.get().published_at is not None
    assert Lane.objects.get(lane=lease.lane).published == 9


def test_orders_that_moved_on_leave_gaps(reader: Reader, bulk: Callable[..., None]) -> None:
    bulk("import:1/0", ["a", "b", "c", "d", "e"])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE orders_order SET version = 2 WHERE id IN ('a', 'c', 'e')")
    (lease,) = lanes_with_news(reader.leases)
    batch = open_batch(lease)
    assert batch is not None
    entry = entry_of(batch)
    assert [(number, event.id) for number, event in expanded(entry)] == [(2, "b:1"), (4, "d:1")]
    assert [number for number, _ in expanded(entry, after_event=2)] == [4]


def test_receipts_are_those_of_what_was_sent(reader: Reader, bulk: Callable[..., None], connect: Connect) -> None:
    """Of two entries in one lane: the first commits after the batch was begun."""
    late = connect().cursor()
    late.execute("BEGIN")
    late.execute(
        "INSERT INTO outbox_entry (lane, kind, type, key, partition_key, time, orders, payload, source)"
        " VALUES (%s, 'bulk', 't', '', '', '', 1, %s, 'import:9/9') RETURNING id",
        [_bulk_lane_of("import:1/0"), psycopg2.Binary(encode(["x"]))],
    )
    late.execute(
        "INSERT INTO outbox_receipt (source, entry_id, lane, orders) VALUES ('import:9/9', %s, %s, 1)",
        [late.fetchone()[0], _bulk_lane_of("import:1/0")],
    )
    bulk("import:1/0", ["a"])
    (lease,) = lanes_with_news(reader.leases)
    batch = open_batch(lease)
    assert batch is not None
    late.execute("COMMIT")
    close(lease, batch)
    assert dict(Receipt.objects.values_list("source", "published_at"))["import:9/9"] is None
    reader.drain()
    assert not Receipt.objects.filter(published_at=None).exists()


def test_order_of_an_order_whichever_transaction_began_first(reader: Reader, connect: Connect) -> None:
    """The one that began first gets the row lock last."""
    first, second = connect().cursor(), connect().cursor()
    first.execute("BEGIN")
    first.execute("SELECT pg_current_xact_id()")
    reader.drain()
    write_all(connect(), ["o1"])
    second.execute("BEGIN")
    write(second, "o1", 2)
    second.execute("COMMIT")
    write(first, "o1", 3)
    first.execute("COMMIT")
    assert by_key(reader.drain()) == {"o1": [1, 2, 3]}


@pytest.mark.parametrize(
    "seconds", [pytest.param(3, id="short"), pytest.param(60, id="minute", marks=pytest.mark.slow)]
)
def test_eight_writers_a_long_transaction_and_a_load(
    seconds: int, reader: Reader, connect: Connect, bulk: Callable[..., None]
) -> None:
    """Writers take the row lock of an order, as services do, and roll back at random."""
    keys = [f"k{number}" for number in range(40)]
    with connect().cursor() as cursor:
        cursor.execute("CREATE TABLE stand (key text PRIMARY KEY, version int NOT NULL)")
        cursor.execute("INSERT INTO stand SELECT unnest(%s::text[]), 0", [keys])
    long = connect().cursor()
    long.execute("BEGIN")
    write(long, "long", 1)
    until = time.monotonic() + seconds
    committed: Counter[str] = Counter()
    failures: list[BaseException] = []

    def change(seed: int, own: Any) -> None:
        chance = random.Random(seed)
        try:
            while time.monotonic() < until:
                _change_some(own, chance, keys, committed)
        except BaseException as error:
            failures.append(error)

    def load() -> None:
        for number in range(20):
            bulk(f"import:5/{number}", [f"bulk{number}-{n}" for n in range(50)])
            write(long, "long", number + 2)

    threads = [threading.Thread(target=change, args=(seed, connect())) for seed in range(8)]
    threads.append(threading.Thread(target=load))
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        reader.drain()
    for thread in threads:
        thread.join(EVERYBODY_SECONDS)
    assert not failures
    assert "long" not in by_key(reader.drain())
    long.execute("COMMIT")
    reader.drain()
    expected = {key: list(range(1, number + 1)) for key, number in committed.items()}
    expected |= {f"bulk{number}-{n}": [1] for number in range(20) for n in range(50)}
    expected["long"] = list(range(1, 22))
    assert by_key(reader.events) == expected
    assert Entry.objects.filter(kind="order").count() == sum(committed.values()) + 21
    assert not Receipt.objects.filter(published_at=None).exists()


def _change_some(own: Any, chance: random.Random, keys: list[str], committed: Counter[str]) -> None:
    touched = sorted(chance.sample(keys, chance.randint(1, 3)))
    with own.cursor() as cursor:
        cursor.execute("BEGIN")
        for key in touched:
            cursor.execute("UPDATE stand SET version = version + 1 WHERE key = %s RETURNING version", [key])
            if chance.random() < 0.3:
                cursor.execute("SAVEPOINT s")
            write(cursor, key, cursor.fetchone()[0] if cursor.description else _version(cursor, key))
        if chance.random() < 0.2:
            cursor.execute("ROLLBACK")
            return
        cursor.execute("COMMIT")
    for key in touched:
        with LOCK:
            committed[key] += 1


LOCK = threading.Lock()


def _version(cursor: Any, key: str) -> int:
    cursor.execute("SELECT version FROM stand WHERE key = %s", [key])
    return int(cursor.fetchone()[0])


def _lane_of(key: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT abs(hashtext(%s)::bigint) %% 8", [key])
        return int(cursor.fetchone()[0])


def _bulk_lane_of(source: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 8 + abs(hashtext(%s)::bigint) %% 4", [source])
        return int(cursor.fetchone()[0])
