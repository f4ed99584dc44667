"""What the relay sends, on the embedded broker; what it does when things break is in tests/faults."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apache_kafka import EmbeddedKafka
from tests.conftest import Manage
from tests.flows.files import csv_text
from tests.integration.outbox.relaying import Relays, first_versions, numbered
from tests.integration.outbox.writing import write, write_all

Connect = Callable[[], Any]


@pytest.fixture(params=["kafka-python", pytest.param("confluent", marks=pytest.mark.slow)])
def relays(
    request: pytest.FixtureRequest, manage: Manage, embedded_kafka: EmbeddedKafka, kafka_prefix: str
) -> Iterator[Relays]:
    if request.param == "confluent":
        pytest.importorskip("confluent_kafka")
    relays = Relays(manage, embedded_kafka, kafka_prefix, OUTBOX_PRODUCER=request.param)
    yield relays
    relays.end()


def test_everything_is_sent_once_and_in_order(relays: Relays, connect: Connect) -> None:
    server = connect()
    for version in range(1, 4):
        with server.cursor() as cursor:
            for key in numbered("o", 500):
                write(cursor, key, version, data=f'{{"version":{version}}}')
    done = relays.once()
    assert done.returncode == 0, done.stderr
    events = relays.read()
    assert len(events) == 1_500
    assert first_versions(events) == {key: [1, 2, 3] for key in numbered("o", 500)}
    assert all(event.value == b'{"version":%d}' % event.version for event in events)
    assert len({event.partition for event in events}) == 6
    write_all(server, ["one-more"])
    assert relays.once().returncode == 0
    assert [event.id for event in relays.read() if event.id not in {old.id for old in events}] == ["one-more:1"]
    assert len(relays.read()) == 1_501


def test_a_short_run_makes_the_partitions_of_the_days_to_come(
    manage: Manage, embedded_kafka: EmbeddedKafka, kafka_prefix: str, connect: Connect
) -> None:
    """Where the relay is run now and then, no run may be long enough for anything later."""
    cursor = connect().cursor()
    cursor.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
        "WHERE inhparent = 'outbox_entry'::regclass AND relname <> 'outbox_entry_default' ORDER BY relname"
    )
    last = cursor.fetchall()[-1][0]
    cursor.execute(f"DROP TABLE {last}")
    done = Relays(manage, embedded_kafka, kafka_prefix).once()
    assert done.returncode == 0, done.stderr
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [last])
    assert cursor.fetchone() == (True,)


def test_told_to_end_it_saves_what_is_acknowledged(relays: Relays, connect: Connect) -> None:
    write_all(connect(), numbered("o", 3_000))
    relay = relays.start()
    relays.wait_for(["o0:1"])
    relay.send_signal(signal.SIGTERM)
    assert relay.wait(30) == 0, relays.log()
    assert relays.once().returncode == 0
    assert sorted(event.id for event in relays.read()) == sorted(f"o{number}:1" for number in range(3_000))


def test_a_bulk_load_is_sent_whole(relays: Relays, manage: Manage, connect: Connect, tmp_path: Path) -> None:
    rows = [(f"o{number // 2}", f"u{number % 7}", f"i{number % 5}", 1 + number % 3, "CH") for number in range(3_000)]
    path = tmp_path / "orders.csv"
    path.write_text(csv_text(rows, ("order_id", "user_id", "sku", "quantity", "country")))
    assert manage("ingest_csv", str(path), "--workers", "2").returncode == 0
    assert relays.once().returncode == 0
    events = relays.read()
    assert sorted(event.id for event in events) == sorted(f"o{number}:1" for number in range(1_500))
    orders = [json.loads(event.value) for event in events]
    assert sum(line["quantity"] for order in orders for line in order["lines"]) == sum(row[3] for row in rows)
    with connect().cursor() as cursor:
        cursor.execute("SELECT count(*), count(published_at) FROM outbox_receipt")
        entries, published = cursor.fetchone()
    assert entries == published > 0
    assert [event.key for event in relays.read("sluice.imports.v1")] == ["1"]
