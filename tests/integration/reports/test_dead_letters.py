"""Whatever a record looks like, something of it gets into the topic of dead letters, once, and the rest goes on."""

from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource
from kafka.errors import KafkaError, MessageSizeTooLargeError
from pytest_django import Settings

from reports.consuming import dead_letters
from reports.consuming.dead_letters import DeadLetters, Refused
from tests.apache_kafka import ApacheKafka
from tests.integration.reports.records import TOPIC, Record
from tests.order_topic import OrderTopic

ORIGIN = [("sluice_origin_topic", TOPIC.encode()), ("sluice_origin_partition", b"0")]
LIMIT = 2_000


@pytest.fixture
def topic(apache_kafka: ApacheKafka, kafka_prefix: str, settings: Settings) -> OrderTopic:
    settings.KAFKA_BOOTSTRAP_SERVERS = [apache_kafka.bootstrap]
    settings.KAFKA_TOPIC_PREFIX = kafka_prefix
    return OrderTopic(apache_kafka.bootstrap, kafka_prefix)


@pytest.fixture
def letters() -> Iterator[DeadLetters]:
    letters = DeadLetters()
    yield letters
    letters.close()


def limit(topic: OrderTopic, size_bytes: int) -> None:
    """Let the topic of dead letters take less than others do."""
    admin = KafkaAdminClient(bootstrap_servers=topic.bootstrap)
    try:
        resource = ConfigResource("topic", topic.dead_letters, {"max.message.bytes": str(size_bytes)})
        admin.alter_configs([resource])
    finally:
        admin.close()


def put(letters: DeadLetters, *records: Record) -> None:
    letters.put([Refused(record, "played") for record in records])


def omitted(headers: list[tuple[str, bytes]]) -> bool:
    return ("sluice_value_omitted", b"true") in headers


def test_what_our_client_does_not_send(topic: OrderTopic, letters: DeadLetters) -> None:
    put(
        letters,
        Record([("own", None), ("other", b"\xff")], b"{}", offset=1),
        Record([], None, offset=2),
        Record([], b"without a key", offset=3),
        Record([("own", None)], None, offset=4, key=b"k"),
    )
    first, second, third, fourth = sorted(topic.read(topic.dead_letters), key=lambda each: each.offset)
    assert (first.key, first.value) == (None, b"{}")
    assert list(first.headers) == [
        ("own", b""), ("other", b"\xff"), *ORIGIN, ("sluice_origin_offset", b"1"), ("sluice_error", b"played")
    ]  # fmt: skip
    assert (second.key, second.value) == (b"", None)
    assert (third.key, third.value) == (None, b"without a key")
    assert (fourth.key, fourth.value) == (b"k", None)
    assert not any(omitted(list(each.headers)) for each in (first, second, third, fourth))


@pytest.mark.parametrize("key", [None, b"k"])
def test_as_large_as_our_client_sends(topic: OrderTopic, letters: DeadLetters, key: bytes | None) -> None:
    put(letters, Record([("own", b"1")], b"x" * 1_048_500, key=key))
    (found,) = topic.read(topic.dead_letters)
    assert (found.key, found.value, dict(found.headers)["own"]) == (key or b"", None, b"1")
    assert omitted(list(found.headers))


def test_larger_than_the_topic_takes(topic: OrderTopic, letters: DeadLetters) -> None:
    limit(topic, LIMIT)
    put(
        letters,
        Record([], b"small", offset=1),
        Record([("own", b"1")], b"x" * LIMIT, offset=2),
        Record([("own", b"y" * LIMIT)], b"x", offset=3, key=b"k"),
        Record([], b"x" * LIMIT, offset=4, key=b"z" * LIMIT),
        Record([], b"small, too", offset=5),
    )
    found = {dict(each.headers)["sluice_origin_offset"]: each for each in topic.read(topic.dead_letters)}
    assert len(found) == len(topic.read(topic.dead_letters)) == 5
    assert {offset: each.value for offset, each in found.items() if not omitted(list(each.headers))} == {
        b"1": b"small", b"5": b"small, too",
    }  # fmt: skip
    assert {offset: (each.key, each.value) for offset, each in found.items() if omitted(list(each.headers))} == {
        b"2": (b"", None), b"3": (b"", None), b"4": (b"", None),
    }  # fmt: skip
    assert dict(found[b"2"].headers)["own"] == b"1"
    put(letters, Record([], b"later", offset=6))
    assert b"later" in {each.value for each in topic.read(topic.dead_letters)}


def test_nothing_at_all_is_taken(topic: OrderTopic, letters: DeadLetters) -> None:
    limit(topic, 50)
    with pytest.raises(MessageSizeTooLargeError):
        put(letters, Record([], b"x"))
    limit(topic, LIMIT)
    put(letters, Record([], b"x"))
    assert [each.value for each in topic.read(topic.dead_letters)] == [b"x"]


def test_the_broker_goes_away(
    topic: OrderTopic, letters: DeadLetters, apache_kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(letters, Record([], b"before"))
    monkeypatch.setattr(dead_letters, "SEND_SECONDS", 1)
    apache_kafka.freeze()
    with pytest.raises(KafkaError):
        put(letters, Record([], b"x"))
    apache_kafka.thaw()
    monkeypatch.undo()
    put(letters, Record([], b"x"))
    assert {each.value for each in topic.read(topic.dead_letters)} == {b"before", b"x"}
