"""What the system checks say of settings of Kafka, and what the clients are told."""

from typing import Any

import pytest
from pytest_django import Settings

from config.checks import kafka, kafka_in_the_open
from config.kernel.kafka.clients import confluent_settings, kafka_python_settings, replication_factor
from config.kernel.kafka.topics import partition_of, topic_name

TLS = {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": "/ca.pem"}
SASL = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "sluice",
    "KAFKA_SASL_PASSWORD": "secret",
}


def setting(settings: Settings, **values: Any) -> None:
    for name, value in values.items():
        setattr(settings, name, value)


@pytest.mark.parametrize("values", [{}, TLS, SASL, SASL | {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}])
def test_good_settings_pass(settings: Settings, values: dict[str, Any]) -> None:
    setting(settings, **values)
    assert kafka() == kafka_in_the_open() == []


@pytest.mark.parametrize(
    ("values", "id"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "sluice.E004"),
        (SASL | {"KAFKA_SASL_PASSWORD": ""}, "sluice.E005"),
        (SASL | {"KAFKA_SASL_MECHANISM": "GSSAPI"}, "sluice.E005"),
        (TLS | {"KAFKA_SASL_USERNAME": "sluice"}, "sluice.E006"),
        ({"KAFKA_SSL_CAFILE": "/ca.pem"}, "sluice.E007"),
        (TLS | {"KAFKA_SSL_CERTFILE": "/client.pem"}, "sluice.E008"),
        ({"OUTBOX_PRODUCER": "sarama"}, "sluice.E009"),
        ({"OUTBOX_LEASE_SECONDS": 0.5}, "sluice.E011"),
    ],
)
def test_bad_combinations_are_named(settings: Settings, values: dict[str, Any], id: str) -> None:
    setting(settings, **values)
    assert [each.id for each in kafka()] == [id]


def test_a_client_that_is_not_installed_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OUTBOX_PRODUCER = "confluent"
    monkeypatch.setattr("config.checks.find_spec", lambda name: None)
    assert [each.id for each in kafka()] == ["sluice.E010"]


def test_a_password_in_the_open_is_warned_of(settings: Settings) -> None:
    setting(settings, **SASL | {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "PLAIN"})
    assert [each.id for each in kafka_in_the_open()] == ["sluice.W008"]


def test_both_clients_are_told_the_same(settings: Settings) -> None:
    setting(settings, KAFKA_BOOTSTRAP_SERVERS=["a:9093", "b:9093"], **TLS | SASL)
    python, confluent = kafka_python_settings(client_id="x"), confluent_settings(client_id="x")
    assert python["bootstrap_servers"] == ["a:9093", "b:9093"]
    assert confluent["bootstrap.servers"] == "a:9093,b:9093"
    for one, other, value in [
        ("security_protocol", "security.protocol", "SASL_SSL"),
        ("sasl_mechanism", "sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl_plain_username", "sasl.username", "sluice"),
        ("sasl_plain_password", "sasl.password", "secret"),
        ("ssl_cafile", "ssl.ca.location", "/ca.pem"),
        ("client_id", "client.id", "x"),
    ]:
        assert python[one] == confluent[other] == value


def test_the_clients_know_all_that_they_are_told(settings: Settings) -> None:
    """kafka-python would refuse a keyword that it does not know."""
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

    setting(settings, KAFKA_BOOTSTRAP_SERVERS=["a:9093"], **TLS | SASL)
    for client in (KafkaAdminClient, KafkaConsumer, KafkaProducer):
        assert set(kafka_python_settings(client_id="x")) <= set(client.DEFAULT_CONFIG)


def test_a_new_topic_has_the_copies_that_the_broker_thinks_right(settings: Settings) -> None:
    setting(settings, KAFKA_BOOTSTRAP_SERVERS=["a:9093"])
    assert replication_factor() == -1
    settings.KAFKA_REPLICATION_FACTOR = 3
    assert replication_factor() == 3
    setting(settings, KAFKA_BOOTSTRAP_SERVERS=[], KAFKA_REPLICATION_FACTOR=0)
    assert replication_factor() == 1  # the embedded broker


def test_topics_have_the_prefix_of_the_installation(settings: Settings) -> None:
    assert topic_name("orders") == "sluice.orders.v1"
    settings.KAFKA_TOPIC_PREFIX = "staging."
    assert topic_name("orders-dlq") == "staging.sluice.orders.dlq.v1"


def test_partitions_are_what_any_crc32_says() -> None:
    """Documented, so that other languages can compute it; a changed result would tear orders apart."""
    assert partition_of("123456789", 1 << 32) == 0xCBF43926  # the check value of CRC-32/ISO-HDLC
    assert [partition_of(key, 6) for key in ("u101", "ü", "")] == [0, 1, 0]
