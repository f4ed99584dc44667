"""
How to reach the broker, as the two clients want it told: kafka-python as keywords, confluent-kafka as a dictionary.

Only what is the same for producers, consumers and administration stands here. Time-outs are short enough that a
process notices a broker that does not answer, and no longer than a broker takes to restart (docs/adr/0019).
"""

from typing import Any, Final

from django.conf import settings

from config.embedded import EmbeddedError, kafka_bootstrap

REQUEST_TIMEOUT_MS: Final = 30_000
CONNECTION_IDLE_MS: Final = 9 * 60_000


class KafkaUnreachableError(Exception):
    """No broker answers at KAFKA_BOOTSTRAP_SERVERS, or it refuses us; the message says why."""


def bootstrap_servers() -> list[str]:
    """
    `host:port` of each broker to ask first; without KAFKA_BOOTSTRAP_SERVERS the embedded one, started if need be.

    Raises:
        KafkaUnreachableError: it does not start.
    """
    if settings.KAFKA_BOOTSTRAP_SERVERS:
        return list(settings.KAFKA_BOOTSTRAP_SERVERS)
    try:
        return [kafka_bootstrap()]
    except EmbeddedError as error:
        raise KafkaUnreachableError(str(error)) from error


def replication_factor() -> int:
    """Copies of a new topic's partitions; -1: what the broker does by default."""
    if settings.KAFKA_REPLICATION_FACTOR:
        return int(settings.KAFKA_REPLICATION_FACTOR)
    return -1 if settings.KAFKA_BOOTSTRAP_SERVERS else 1


def kafka_python_settings(*, client_id: str) -> dict[str, Any]:
    """
    Keywords for KafkaProducer, KafkaConsumer and KafkaAdminClient.

    Args:
        client_id: what the broker's logs and quotas know us by ("sluice-relay").
    """
    return {
        "bootstrap_servers": bootstrap_servers(),
        "client_id": client_id,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "connections_max_idle_ms": CONNECTION_IDLE_MS,
        "security_protocol": settings.KAFKA_SECURITY_PROTOCOL,
        **_set(
            {
                "sasl_mechanism": settings.KAFKA_SASL_MECHANISM,
                "sasl_plain_username": settings.KAFKA_SASL_USERNAME,  # of SCRAM, too
                "sasl_plain_password": settings.KAFKA_SASL_PASSWORD,
                "ssl_cafile": settings.KAFKA_SSL_CAFILE,
                "ssl_certfile": settings.KAFKA_SSL_CERTFILE,
                "ssl_keyfile": settings.KAFKA_SSL_KEYFILE,
            }
        ),
    }


def confluent_settings(*, client_id: str) -> dict[str, Any]:
    """The same for confluent-kafka's Producer, Consumer and AdminClient."""
    return {
        "bootstrap.servers": ",".join(bootstrap_servers()),
        "client.id": client_id,
        "socket.timeout.ms": REQUEST_TIMEOUT_MS,
        "connections.max.idle.ms": CONNECTION_IDLE_MS,
        "security.protocol": settings.KAFKA_SECURITY_PROTOCOL,
        **_set(
            {
                "sasl.mechanism": settings.KAFKA_SASL_MECHANISM,
                "sasl.username": settings.KAFKA_SASL_USERNAME,
                "sasl.password": settings.KAFKA_SASL_PASSWORD,
                "ssl.ca.location": settings.KAFKA_SSL_CAFILE,
                "ssl.certificate.location": settings.KAFKA_SSL_CERTFILE,
                "ssl.key.location": settings.KAFKA_SSL_KEYFILE,
            }
        ),
    }


def _set(values: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
