"""The brokers of the tests do what the tests of faults count on."""

import os

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import KafkaTimeoutError

from tests.broker_process import BrokerProcess


def send(broker: BrokerProcess, topic: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    try:
        for future in [producer.send(topic, value) for value in values]:
            future.get(60)
    finally:
        producer.close()


def read(broker: BrokerProcess, topic: str, *, number: int) -> list[bytes]:
    consumer = KafkaConsumer(topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    try:
        found: list[bytes] = []
        while len(found) < number:
            found += [record.value for records in consumer.poll(1_000).values() for record in records]
        return found
    finally:
        consumer.close()


def create(broker: BrokerProcess, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        admin.close()


def test_an_event_goes_through(broker: BrokerProcess, kafka_prefix: str) -> None:
    create(broker, f"{kafka_prefix}topic")
    send(broker, f"{kafka_prefix}topic", [b"1", b"2"])
    assert read(broker, f"{kafka_prefix}topic", number=2) == [b"1", b"2"]


@pytest.mark.slow  # the tests of producers and relay count on it in the default run
def test_a_killed_broker_comes_back_at_its_address(broker: BrokerProcess, kafka_prefix: str) -> None:
    topic, pid = f"{kafka_prefix}topic", broker.pid
    create(broker, topic)
    send(broker, topic, [b"1"])
    broker.kill()
    broker.start()
    assert broker.pid != pid
    if broker.keeps_data:
        assert read(broker, topic, number=1) == [b"1"]


def test_a_frozen_broker_answers_when_it_is_thawed(broker: BrokerProcess, kafka_prefix: str) -> None:
    topic = f"{kafka_prefix}topic"
    create(broker, topic)
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    try:
        producer.send(topic, b"before").get(60)
        broker.freeze()
        future = producer.send(topic, b"during")
        with pytest.raises(KafkaTimeoutError):
            future.get(0.2)
        broker.thaw()
        assert future.get(60).topic == topic
    finally:
        producer.close()


def test_a_broken_broker_is_mended_for_the_next_test(embedded_kafka: BrokerProcess) -> None:
    embedded_kafka.freeze()
    embedded_kafka.kill()
    embedded_kafka.mend()
    os.kill(embedded_kafka.pid, 0)
