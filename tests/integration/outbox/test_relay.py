"""What the relay sends, on the embedded broker; what it does when things break is in tests/faults."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.apache_kafka import EmbeddedKafka
from tests.conftest import Manage
from tests.integration.outbox.relaying import Relays, first_versions, numbered
from tests.integration.outbox.writing import write, write_all

Connect = Callable[[], Any]


@pytest.fixture(params=["kafka-python", "confluent"])
def relays(request: pytest.FixtureRequest, manage: Manage, embedded_kafka: EmbeddedKafka, kafka_prefix: str) -> Relays:
    if request.param == "confluent":
        pytest.importorskip("confluent_kafka")
    return Relays(manage, embedded_kafka, kafka_prefix, OUTBOX_PRODUCER=request.param)


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
