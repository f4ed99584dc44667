"""Both clients keep the promises of `orders.outbox.producers.interface`, on both brokers."""

import gc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import pytest
from pytest_django import Settings

from config.kernel.kafka.admin import administration, topic_create, topic_states
from config.kernel.kafka.topics import topic_name
from orders.outbox.events import Event
from orders.outbox.producers.choice import make_producer
from orders.outbox.producers.interface import PoisonEventError, Producer, RefusedError, UnrecoverableError
from tests.broker_process import BrokerProcess
from tests.integration.outbox.relaying import read_records

# A producer that lost its broker and is ended by force leaves sockets open, and a thread that fails over them.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

LIMIT: Final = 1_048_588
LIMITS: Final = {"orders": LIMIT, "imports": LIMIT}
SECONDS: Final = 60.0


def event(number: int, **changes: Any) -> Event:
    fields: dict[str, Any] = {
        "topic": "orders", "id": f"o{number}:1", "type": "com.sluice.order.placed.v1", "key": f"o{number}",
        "version": 1, "partition_key": f"u{number}", "placed_at": datetime(2026, 11, 27, tzinfo=UTC),
        "time": "2026-11-27T09:00:00Z",
        "data": f'{{"number":{number}}}'.encode(),
    }  # fmt: skip
    return Event(**fields | changes)


@pytest.fixture(scope="module", autouse=True)
def _little_to_collect() -> Iterator[None]:
    gc.collect()
    gc.freeze()  # so that later collections look only at what is made here
    yield
    gc.unfreeze()


@pytest.fixture
def reached(broker: BrokerProcess, kafka_prefix: str, settings: Settings) -> BrokerProcess:
    """The settings point to a broker with our topics."""
    settings.KAFKA_BOOTSTRAP_SERVERS = [broker.bootstrap]
    settings.KAFKA_TOPIC_PREFIX = kafka_prefix
    settings.KAFKA_REPLICATION_FACTOR = 1
    with administration() as client:
        for topic in ("orders", "imports"):
            topic_create(client, topic_name(topic), partitions=3)
    return broker


@pytest.fixture(params=["kafka-python", "confluent"])
def make(
    request: pytest.FixtureRequest, reached: BrokerProcess, settings: Settings
) -> Iterator[Callable[..., Producer]]:
    """Makes producers, closed at the end."""
    settings.OUTBOX_PRODUCER = request.param
    if request.param == "confluent":
        pytest.importorskip("confluent_kafka")
    made: list[Producer] = []

    def start(limits: dict[str, int] = LIMITS) -> Producer:
        made.append(make_producer(limits))
        return made[-1]

    yield start
    reached.mend()
    while made:
        made.pop().close()
    gc.collect()  # what kafka-python leaves open of a broken connection is warned of in here, not in some later test


@pytest.fixture
def producer(make: Callable[..., Producer]) -> Producer:
    return make()


def read(broker: BrokerProcess, partition: int, *, topic: str = "orders") -> list[Any]:
    """All records of a partition."""
    return [record for record in read_records(broker, topic_name(topic)) if record.partition == partition]


def test_what_is_sent_is_settled_and_can_be_read(producer: Producer, reached: BrokerProcess) -> None:
    assert (producer.sent, producer.settled()) == (0, 0)
    for number in range(300):
        producer.send(event(number), number % 3)
    assert producer.sent == 300
    assert producer.flush(SECONDS)
    assert producer.settled() == 300
    for partition in range(3):
        assert [record.value for record in read(reached, partition)] == [
            event(number).data for number in range(partition, 300, 3)
        ]


def test_settled_counts_only_what_the_broker_has(producer: Producer, reached: BrokerProcess) -> None:
    producer.send(event(0), 0)
    assert producer.flush(SECONDS)
    reached.freeze()
    for number in range(1, 11):
        producer.send(event(number), 0)
    producer.wait(0.3)
    assert not producer.flush(0.1)
    assert producer.settled() == 1
    reached.thaw()
    assert producer.flush(SECONDS)
    assert producer.settled() == 11
    assert [record.value for record in read(reached, 0)] == [event(number).data for number in range(11)]


def test_waiting_ends_when_something_is_settled(producer: Producer) -> None:
    producer.send(event(1), 0)
    while not producer.settled():
        producer.wait(SECONDS)
    assert producer.settled() == 1
    producer.wait(SECONDS)  # nothing is in flight: returns at once


def test_records_are_cloud_events_in_binary_mode(
    producer: Producer, reached: BrokerProcess, settings: Settings
) -> None:
    producer.send(event(7, id="o/7 ü:3", key="o/7 ü", partition_key="u 7ß", type="com.sluice.order.amended.v1"), 2)
    producer.send(event(8, topic="imports", id="import:8:failed", key="8", partition_key="8"), 1)
    assert producer.flush(SECONDS)
    (order,), (imported,) = read(reached, 2), read(reached, 1, topic="imports")
    assert order.key == "u 7ß".encode()
    assert order.value == b'{"number":7}'
    assert sorted(order.headers) == sorted(
        [
            ("ce_specversion", b"1.0"),
            ("ce_id", "o/7 ü:3".encode()),
            ("ce_type", b"com.sluice.order.amended.v1"),
            ("ce_source", settings.EVENT_SOURCE.encode()),
            ("ce_subject", "o/7 ü".encode()),
            ("ce_time", b"2026-11-27T09:00:00Z"),
            ("ce_dataschema", b"urn:sluice:schema:order:v1"),
            ("content-type", b"application/json; charset=utf-8"),
        ]
    )
    assert dict(imported.headers)["ce_dataschema"] == b"urn:sluice:schema:import:v1"


def test_an_event_that_is_too_large_harms_nothing_else(producer: Producer, reached: BrokerProcess) -> None:
    producer.send(event(1), 0)
    with pytest.raises(PoisonEventError, match="bytes"):
        producer.send(event(2, data=b"x" * LIMIT), 0)
    producer.send(event(3), 0)
    assert producer.flush(SECONDS)
    assert producer.sent == producer.settled() == 2
    assert [record.value for record in read(reached, 0)] == [event(1).data, event(3).data]


def test_the_largest_event_that_is_sent_is_taken(producer: Producer, reached: BrokerProcess) -> None:
    """What we think fits does fit: else the broker would refuse it for ever."""
    sizes = [size for size in range(LIMIT - 1_000, LIMIT, 25) if _is_sent(producer, size)]
    assert producer.flush(SECONDS)
    assert LIMIT - 1_000 < max(sizes) < LIMIT
    assert [len(record.value) for record in read(reached, 0)] == sizes


def _is_sent(producer: Producer, size: int) -> bool:
    try:
        producer.send(event(size, data=b"x" * size), 0)
    except PoisonEventError:
        return False
    return True


def test_many_events_stay_in_order(producer: Producer, reached: BrokerProcess) -> None:
    """Several windows, so that more than one request a partition is on its way."""
    for number in range(3_000):
        producer.send(event(number, data=b"%06d" % number + b"x" * 1_000), number % 3)
        if producer.sent - producer.settled() > 500:
            producer.wait(SECONDS)
    assert producer.flush(SECONDS)
    for partition in range(3):
        assert [int(record.value[:6]) for record in read(reached, partition)] == list(range(partition, 3_000, 3))


def test_a_partition_that_does_not_exist_is_not_waited_for(producer: Producer) -> None:
    with pytest.raises(UnrecoverableError):  # noqa: PT012  (one client says it at once, the other when it settles)
        producer.send(event(1), 77)
        producer.flush(SECONDS)


def test_closing_does_not_wait_for_a_frozen_broker(producer: Producer, reached: BrokerProcess) -> None:
    producer.send(event(1), 0)
    assert producer.flush(SECONDS)
    reached.freeze()
    producer.send(event(2), 0)
    producer.close()  # would take minutes; the test's time is bounded by the run's


def test_without_a_broker_there_is_no_producer(
    make: Callable[..., Producer], reached: BrokerProcess, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("kafka_python", "confluent"):
        monkeypatch.setattr(f"orders.outbox.producers.{module}.REACH_SECONDS", 1.0)
    settings.KAFKA_BOOTSTRAP_SERVERS = ["127.0.0.1:1"]
    with pytest.raises(UnrecoverableError, match="reached"):
        make()


@pytest.mark.slow  # tests/faults kills it under the relay, too
def test_a_broker_that_was_killed_gets_everything_or_says_so(producer: Producer, reached: BrokerProcess) -> None:
    """Never silently less: what is settled is there, and a failure ends the producer."""
    if not reached.keeps_data:
        pytest.skip("the embedded broker forgets its topics; see tests/faults/test_outbox_relay.py")
    producer.send(event(0), 0)
    assert producer.flush(SECONDS)
    reached.kill()
    for number in range(1, 20):
        producer.send(event(number), 0)
    reached.start()
    try:
        done = producer.flush(SECONDS)
    except (UnrecoverableError, RefusedError):
        done = False
    settled = producer.sent if done else 1
    assert [record.value for record in read(reached, 0)][:settled] == [event(number).data for number in range(settled)]


def test_a_size_that_only_the_broker_refuses_ends_the_producer(
    make: Callable[..., Producer], reached: BrokerProcess
) -> None:
    """Somebody lowered the limit of the topic since we asked for it."""
    if not reached.keeps_data:
        pytest.skip("the embedded broker takes any size")
    producer = make({"orders": 4 * LIMIT, "imports": 4 * LIMIT})
    producer.send(event(1, data=uuid4().bytes * (LIMIT // 8)), 0)
    with pytest.raises(RefusedError):
        producer.flush(SECONDS)


def test_the_broker_tells_of_our_topics(reached: BrokerProcess) -> None:
    with administration() as client:
        states = topic_states(client, [topic_name("orders"), "nobody-made-this"])
    assert set(states) == {topic_name("orders")}
    found = states[topic_name("orders")]
    assert (found.partitions, found.replicas, found.max_message_bytes) == (3, 1, LIMIT)
