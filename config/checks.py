"""Combinations of settings that start but do not work well, as Django system checks."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

PRODUCERS: Final = ("kafka-python", "confluent")
SHORTEST_LEASE_SECONDS: Final = 2
SECURITY_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
SASL_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@register(Tags.security)
def local_mode(**_: Any) -> list[CheckMessage]:
    """Local mode together with servers of a real installation."""
    return list(_local_mode())


@register(Tags.database, deploy=True)
def embedded_services(**_: Any) -> list[CheckMessage]:
    """A deployment whose pods would each have a Postgres, a Redis, a Kafka of their own."""
    return list(_embedded_services())


@register(Tags.security)
def limits(**_: Any) -> list[CheckMessage]:
    """Limits that contradict each other."""
    return list(_limits())


@register(Tags.caches, deploy=True)
def shared_servers(**_: Any) -> list[CheckMessage]:
    """What replicas must share, and what must not be shared."""
    return list(_shared_servers())


@register(Tags.security)
def kafka(**_: Any) -> list[CheckMessage]:
    """Settings of Kafka and of the relay that contradict each other."""
    return [*_kafka_security(), *_relay()]


@register(Tags.security, deploy=True)
def kafka_in_the_open(**_: Any) -> list[CheckMessage]:
    """A password that anybody on the way can read."""
    return list(_kafka_in_the_open())


def _local_mode() -> Iterator[CheckMessage]:
    if settings.LOCAL and settings.ALLOWED_HOSTS == ["*"]:
        yield Warning(
            "Local mode (cookies travel unencrypted) is on, and every host name is served.",
            hint="Set SLUICE_LOCAL=0 and SECRET_KEY, or name the hosts in ALLOWED_HOSTS.",
            id="sluice.W001",
        )
    if settings.DEBUG and not settings.LOCAL:
        yield Warning(
            "DEBUG is on outside local mode: error pages show settings and data to anyone.",
            hint="Unset DEBUG.",
            id="sluice.W002",
        )
    if not settings.LOCAL and not settings.ALLOWED_HOSTS and not settings.DEBUG:
        yield Warning(
            "ALLOWED_HOSTS is empty, so every request gets 400.",
            hint="Set ALLOWED_HOSTS to the host names served, separated by commas. Commands work without.",
            id="sluice.W003",
        )


def _embedded_services() -> Iterator[CheckMessage]:
    named = {
        "DATABASE_URL": settings.DATABASE_URL,
        "REDIS_URL": settings.REDIS_URL,
        "KAFKA_BOOTSTRAP_SERVERS": settings.KAFKA_BOOTSTRAP_SERVERS,
    }
    for number, (name, value) in enumerate(named.items(), start=1):
        if not value:
            yield Error(
                f"{name} is not set, so an embedded server is used, which this machine alone can reach.",
                hint=f"Set {name} to the server that all processes share.",
                id=f"sluice.E{number:03}",
            )


def _limits() -> Iterator[CheckMessage]:
    if settings.UPLOAD_MAX_BYTES > settings.UPLOAD_QUOTA_BYTES:
        yield Warning(
            "An upload may be larger (UPLOAD_MAX_BYTES) than all that its owner may store (UPLOAD_QUOTA_BYTES).",
            hint="Raise UPLOAD_QUOTA_BYTES, or lower UPLOAD_MAX_BYTES to it: people are then told before they send.",
            id="sluice.W004",
        )
    if not settings.LOCAL and not settings.SECURE_PROXY_SSL_HEADER and settings.CSRF_TRUSTED_ORIGINS:
        yield Warning(
            "CSRF_TRUSTED_ORIGINS is set, as behind a proxy, but X-Forwarded-Proto is not trusted: every request looks "
            "unencrypted, and links are made with http://.",
            hint="Set BEHIND_TLS_PROXY=1 if a proxy ends TLS and sets that header itself.",
            id="sluice.W005",
        )


def _shared_servers() -> Iterator[CheckMessage]:
    if settings.REDIS_URL and settings.REDIS_URL == settings.TASKS_REDIS_URL:
        yield Warning(
            "Task messages are in the same Redis as the cache, which evicts what it has no room for.",
            hint="Set TASKS_REDIS_URL to a Redis with maxmemory-policy noeviction. Imports whose message was evicted "
            "are found by recover_imports, within a minute.",
            id="sluice.W006",
        )
    if not settings.UPLOADS_S3_BUCKET:
        yield Warning(
            f"Uploads are files below {settings.MEDIA_ROOT}: every web and worker process must see that directory.",
            hint="Mount the same volume in all of them, or set UPLOADS_S3_BUCKET.",
            id="sluice.W007",
        )


def _kafka_security() -> Iterator[CheckMessage]:
    protocol = settings.KAFKA_SECURITY_PROTOCOL
    if protocol not in SECURITY_PROTOCOLS:
        yield Error(
            f"KAFKA_SECURITY_PROTOCOL is {protocol!r}.",
            hint=f"It is one of {', '.join(SECURITY_PROTOCOLS)}.",
            id="sluice.E004",
        )
        return
    given = [
        name
        for name in ("KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD")
        if getattr(settings, name)
    ]
    if protocol.startswith("SASL"):
        if settings.KAFKA_SASL_MECHANISM not in SASL_MECHANISMS or len(given) < 3:
            yield Error(
                f"KAFKA_SECURITY_PROTOCOL is {protocol}, but who we are is not complete.",
                hint=f"Set KAFKA_SASL_MECHANISM ({', '.join(SASL_MECHANISMS)}), KAFKA_SASL_USERNAME and "
                "KAFKA_SASL_PASSWORD (or KAFKA_SASL_PASSWORD_FILE).",
                id="sluice.E005",
            )
    elif given:
        yield Error(
            f"{', '.join(given)} set, but KAFKA_SECURITY_PROTOCOL is {protocol}, which logs nobody in.",
            hint="Set KAFKA_SECURITY_PROTOCOL to SASL_SSL (or SASL_PLAINTEXT in a network that you trust).",
            id="sluice.E006",
        )
    if not protocol.endswith("SSL") and (settings.KAFKA_SSL_CAFILE or settings.KAFKA_SSL_CERTFILE):
        yield Error(
            f"Certificates for Kafka are set, but KAFKA_SECURITY_PROTOCOL is {protocol}, which encrypts nothing.",
            hint="Set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL.",
            id="sluice.E007",
        )
    if bool(settings.KAFKA_SSL_CERTFILE) != bool(settings.KAFKA_SSL_KEYFILE):
        yield Error(
            "Of KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE only one is set.",
            hint="A client's certificate and its key go together. To trust a broker's authority, set KAFKA_SSL_CAFILE.",
            id="sluice.E008",
        )


def _relay() -> Iterator[CheckMessage]:
    if settings.OUTBOX_PRODUCER not in PRODUCERS:
        yield Error(
            f"OUTBOX_PRODUCER is {settings.OUTBOX_PRODUCER!r}.",
            hint=f"It is one of {', '.join(PRODUCERS)}.",
            id="sluice.E009",
        )
    elif settings.OUTBOX_PRODUCER == "confluent" and find_spec("confluent_kafka") is None:
        yield Error(
            "OUTBOX_PRODUCER is confluent, but confluent-kafka is not installed.",
            hint="pip install -r requirements-confluent.txt (an image: build it with CONFLUENT=1), or unset "
            "OUTBOX_PRODUCER: kafka-python comes with Sluice.",
            id="sluice.E010",
        )
    if settings.OUTBOX_LEASE_SECONDS < SHORTEST_LEASE_SECONDS:
        yield Error(
            f"OUTBOX_LEASE_SECONDS is {settings.OUTBOX_LEASE_SECONDS:g}: lanes change hands at every pause of a relay.",
            hint=f"Set it to {SHORTEST_LEASE_SECONDS} or more; 15 is the default.",
            id="sluice.E011",
        )


def _kafka_in_the_open() -> Iterator[CheckMessage]:
    if settings.KAFKA_SECURITY_PROTOCOL == "SASL_PLAINTEXT" and settings.KAFKA_SASL_MECHANISM == "PLAIN":
        yield Warning(
            "Kafka is given our password unencrypted (SASL_PLAINTEXT with PLAIN).",
            hint="Use SASL_SSL, or a SCRAM mechanism.",
            id="sluice.W008",
        )
