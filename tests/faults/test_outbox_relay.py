"""
The relay under faults: afterwards everything is on the broker, twice at most with the same id, in order for each order.

"Between send and save" is arranged, not hoped for: while the broker is frozen, what was sent cannot be acknowledged.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg2
import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource

from config.embedded.place import place_open
from tests.apache_kafka import ApacheKafka
from tests.broker_process import BrokerProcess
from tests.conftest import Manage
from tests.integration.outbox.relaying import Relays, Sent, Supervised, first_versions, numbered, wait_until
from tests.integration.outbox.writing import write
from tests.preloaded import Forked

Connect = Callable[[], Any]

SHORT_LEASE: Final = {"OUTBOX_LEASE_SECONDS": "3"}
TOO_LARGE: Final = '{"text":"' + "x" * 1_100_000 + '"}'
ENDING_SECONDS: Final = 30


@pytest.fixture(params=["apache", pytest.param("embedded", marks=pytest.mark.slow)])
def broker(request: pytest.FixtureRequest) -> BrokerProcess:
    found: BrokerProcess = request.getfixturevalue(f"{request.param}_kafka")
    return found


@pytest.fixture(params=["kafka-python", pytest.param("confluent", marks=pytest.mark.slow)])
def producer(request: pytest.FixtureRequest) -> str:
    if request.param == "confluent":
        pytest.importorskip("confluent_kafka")
    return str(request.param)


@pytest.fixture
def relays(manage: Manage, broker: BrokerProcess, kafka_prefix: str, producer: str) -> Iterator[Relays]:
    """Starts relays with either client on either broker."""
    relays = Relays(manage, broker, kafka_prefix, OUTBOX_PRODUCER=producer)
    yield relays
    broker.mend()
    relays.end()


@pytest.fixture
def cursor(connect: Connect) -> Any:
    return connect().cursor()


def change(cursor: Any, keys: Iterator[str] | list[str], *versions: int) -> list[str]:
    """Write these versions of orders, each event in a transaction of its own; the ids of the events."""
    ids = []
    for version in versions:
        for key in keys if isinstance(keys, list) else list(keys):
            write(cursor, key, version)
            ids.append(f"{key}:{version}")
    return ids


def in_flight(cursor: Any) -> bool:
    """Some lane has begun a batch that it could not close."""
    cursor.execute("SELECT count(*) FROM outbox_lane WHERE batch IS NOT NULL")
    return bool(cursor.fetchone()[0])


def owners(cursor: Any) -> list[str]:
    """Who holds lanes now: each relay's name, without its loop."""
    cursor.execute("SELECT DISTINCT owner FROM outbox_lane WHERE owner <> '' AND leased_until > clock_timestamp()")
    return sorted({owner.rsplit(":", 1)[0] for (owner,) in cursor.fetchall()})


def assert_in_order(events: list[Sent], *versions: int) -> None:
    assert {tuple(found) for found in first_versions(events).values()} == {versions}


def test_killed_between_sending_and_saving(relays: Relays, cursor: Any) -> None:
    keys = list(numbered("o", 200))
    relay = Supervised(relays, **SHORT_LEASE)
    ids = change(cursor, keys, 1)
    relays.wait_for(ids)
    relays.broker.freeze()
    ids += change(cursor, keys, 2, 3)
    wait_until(lambda: in_flight(cursor), relays.log)
    relay.kill()
    relays.broker.thaw()
    ids += change(cursor, keys, 4)
    assert_in_order(relays.wait_for(ids, minding=[relay]), 1, 2, 3, 4)


def test_two_relays_share_the_lanes_and_take_over(relays: Relays, cursor: Any) -> None:
    keys = list(numbered("o", 100))
    first, second = relays.start(**SHORT_LEASE), relays.start(**SHORT_LEASE)
    wait_until(lambda: len(owners(cursor)) == 2, relays.log)
    ids = change(cursor, keys, 1)
    relays.wait_for(ids)
    first.send_signal(signal.SIGKILL)
    ids += change(cursor, keys, 2)
    assert_in_order(relays.wait_for(ids), 1, 2)
    wait_until(lambda: len(owners(cursor)) == 1, relays.log)  # the lanes of loads, too
    second.send_signal(signal.SIGTERM)
    assert second.wait(ENDING_SECONDS) == 0, relays.log()
    assert not owners(cursor), "one that is told to end gives its lanes back"


def test_a_relay_is_whole_or_not_at_all(relays: Relays, cursor: Any) -> None:
    """A loop that is killed ends the other one, too; no loop outlives the relay."""
    relay = relays.start()
    wait_until(lambda: len(loops(relay)) == 2, relays.log)
    loops(relay)[0].kill()
    assert relay.wait(ENDING_SECONDS) == 1, relays.log()
    again = relays.start()
    wait_until(lambda: len(loops(again)) == 2, relays.log)
    orphans = loops(again)
    again.send_signal(signal.SIGKILL)
    assert not psutil.wait_procs(orphans, timeout=ENDING_SECONDS)[1]


def loops(relay: Forked) -> list[psutil.Process]:
    return psutil.Process(relay.pid).children()


def test_stopped_past_its_lease_and_resumed(relays: Relays, cursor: Any) -> None:
    """It must not go on where it was: another one has its lanes, and has sent more since."""
    keys = list(numbered("o", 100))
    stopped = relays.start(**SHORT_LEASE)
    ids = change(cursor, keys, 1)
    relays.wait_for(ids)
    relays.broker.freeze()  # so that it has something in flight
    ids += change(cursor, keys, 2)
    wait_until(lambda: in_flight(cursor), relays.log)
    os.killpg(stopped.pid, signal.SIGSTOP)
    relays.broker.thaw()
    relays.start(**SHORT_LEASE)
    ids += change(cursor, keys, 3)
    relays.wait_for(ids)
    os.killpg(stopped.pid, signal.SIGCONT)
    wait_until(lambda: "lane_lost" in relays.log(), relays.log)
    ids += change(cursor, keys, 4)
    assert_in_order(relays.wait_for(ids), 1, 2, 3, 4)


def test_the_broker_is_frozen_longer_than_the_relay_waits(relays: Relays, cursor: Any) -> None:
    """It ends and is started again, again and again, until there is a broker."""
    keys = list(numbered("o", 100))
    relay = Supervised(relays, OUTBOX_STALL_SECONDS="2", **SHORT_LEASE)
    ids = change(cursor, keys, 1)
    relays.wait_for(ids)
    relays.broker.freeze()
    ids += change(cursor, keys, 2)
    wait_until(lambda: relay.process.poll() is not None, relays.log)
    assert relay.process.poll() == 1
    assert "acknowledged nothing" in relays.log()
    relay.mind()
    ids += change(cursor, keys, 3)
    relays.broker.thaw()
    assert_in_order(relays.wait_for(ids, minding=[relay]), 1, 2, 3)


def test_the_broker_is_killed_and_starts_again(relays: Relays, cursor: Any) -> None:
    keys = list(numbered("o", 100))
    relay = Supervised(relays, **SHORT_LEASE)
    ids = change(cursor, keys, 1)
    relays.wait_for(ids)
    relays.broker.kill()
    lost = [] if relays.broker.keeps_data else list(ids)
    ids += change(cursor, keys, 2)
    relays.broker.start()
    if relays.broker.keeps_data:
        ids += change(cursor, keys, 3)
        assert_in_order(relays.wait_for(ids, minding=[relay]), 1, 2, 3)
    else:  # what it had is gone with it, and its topics; the relay makes them anew and goes on
        assert_in_order(relays.wait_for(ids[len(lost) :], minding=[relay]), 2)


def test_an_oversized_event_halts_its_own_key(relays: Relays, cursor: Any) -> None:
    relays.start()
    write(cursor, "large", 1)
    write(cursor, "large", 2, data=TOO_LARGE)
    write(cursor, "large", 3)
    ids = change(cursor, list(numbered("o", 50)), 1, 2)
    sent = relays.wait_for([*ids, "large:1"])
    assert first_versions(sent)["large"] == [1]
    wait_until(lambda: "large:3" in held(cursor), relays.log)
    assert held(cursor) == ["large:2", "large:3"]
    done = relays.command("outbox_poison", "list")
    assert "orders large: large:2 since" in done.stdout
    assert "1 attempts, 2 events held" in done.stdout

    done = relays.command("outbox_poison", "release", "large", "--reason", "let us see")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: attempts(cursor) == 2, relays.log)  # nothing has changed
    assert held(cursor) == ["large:2", "large:3"]

    done = relays.command("outbox_poison", "drop", "large", "--reason", "nobody needs it")
    assert done.returncode == 0, done.stderr
    write(cursor, "large", 4)
    assert first_versions(relays.wait_for(["large:3", "large:4"]))["large"] == [1, 3, 4]
    wait_until(lambda: not held(cursor), relays.log)
    cursor.execute("SELECT decision, event_id, reason FROM outbox_decision ORDER BY id")
    assert cursor.fetchall()[:2] == [("released", "large:2", "let us see"), ("dropped", "large:2", "nobody needs it")]
    assert relays.command("outbox_poison", "drop", "large", "--reason", "again").returncode != 0


def held(cursor: Any) -> list[str]:
    cursor.execute("SELECT event_id FROM outbox_held ORDER BY id")
    return [event_id for (event_id,) in cursor.fetchall()]


def attempts(cursor: Any) -> int:
    cursor.execute("SELECT coalesce(max(attempts), 0) FROM outbox_halted")
    return int(cursor.fetchone()[0])


def test_a_larger_topic_takes_what_was_held(
    manage: Manage, apache_kafka: ApacheKafka, kafka_prefix: str, producer: str, cursor: Any
) -> None:
    """And a smaller one, of which the relay does not know: it finds out which event is refused, and holds that."""
    relays = Relays(manage, apache_kafka, kafka_prefix, OUTBOX_PRODUCER=producer)
    try:
        relays.start()
        ids = change(cursor, list(numbered("o", 20)), 1)
        relays.wait_for(ids)
        set_limit(apache_kafka, f"{kafka_prefix}sluice.orders.v1", 300_000)
        write(cursor, "large", 1, data=TOO_LARGE[:500_000] + '"}')
        write(cursor, "large", 2)
        ids = change(cursor, list(numbered("o", 20)), 2, 3)
        assert_in_order([event for event in relays.wait_for(ids) if event.key != "large"], 1, 2, 3)
        wait_until(lambda: held(cursor) == ["large:1", "large:2"], relays.log)
        set_limit(apache_kafka, f"{kafka_prefix}sluice.orders.v1", 3_000_000)
        relays.end()
        relays.start(**SHORT_LEASE)
        assert relays.command("outbox_poison", "release", "large", "--reason", "mended").returncode == 0
        assert first_versions(relays.wait_for(["large:1", "large:2"]))["large"] == [1, 2]
    finally:
        relays.end()


def set_limit(broker: BrokerProcess, topic: str, size_bytes: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        admin.alter_configs([ConfigResource("topic", topic, {"max.message.bytes": str(size_bytes)})])
    finally:
        admin.close()


def test_postgres_is_killed_and_starts_again(
    manage: Manage, private_services: dict[str, str], apache_kafka: ApacheKafka, kafka_prefix: str
) -> None:
    assert manage("migrate", "-v", "0", env=private_services).returncode == 0
    place = place_open(Path(private_services["SLUICE_LOCAL_DIR"]))
    relays = Relays(manage, apache_kafka, kafka_prefix, **{**private_services, "SLUICE_LOCAL": "1"})
    relays.environment["KAFKA_BOOTSTRAP_SERVERS"] = apache_kafka.bootstrap
    relay = Supervised(relays, **SHORT_LEASE)
    keys = list(numbered("o", 50))
    ids: list[str] = []
    try:
        for version in (1, 2, 3):
            with contextlib.closing(psycopg2.connect(dbname="sluice", user="sluice", host=str(place.run))) as server:
                server.autocommit = True
                ids += change(server.cursor(), keys, version)
            os.kill(int((place.state / "postgres" / "postmaster.pid").read_text().split("\n")[0]), signal.SIGKILL)
            events = relays.wait_for(ids, minding=[relay])
        assert_in_order(events, 1, 2, 3)
    finally:
        relays.end()


@pytest.mark.slow
def test_everything_breaks_while_many_write(relays: Relays, connect: Connect) -> None:
    """Eight writers, three relays that are killed and stopped, a broker that is frozen."""
    crew = [Supervised(relays, **SHORT_LEASE) for _ in range(3)]
    ids: list[str] = []
    writers = [threading.Thread(target=_write_much, args=(connect(), f"w{number}-", ids)) for number in range(8)]
    for writer in writers:
        writer.start()
    turn = 0
    while any(writer.is_alive() for writer in writers):
        relay = crew[turn % len(crew)]
        if turn % 4 == 3:
            relays.broker.freeze()
            threading.Event().wait(0.5)
            relays.broker.thaw()
        elif turn % 2:
            os.killpg(relay.process.pid, signal.SIGSTOP)
            threading.Event().wait(0.5)
            os.killpg(relay.process.pid, signal.SIGCONT)
        else:
            relay.kill()
        for each in crew:
            each.mind()
        threading.Event().wait(0.5)
        turn += 1
    assert_in_order(relays.wait_for(ids, minding=crew), *range(1, 21))


def _write_much(server: Any, prefix: str, ids: list[str]) -> None:
    cursor = server.cursor()
    for version in range(1, 21):
        for key in numbered(prefix, 60):
            write(cursor, key, version)
            ids.append(f"{key}:{version}")
