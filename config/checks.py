"""Combinations of settings that start but do not work well, as Django system checks."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register


@register(Tags.security)
def local_mode(**_: Any) -> list[CheckMessage]:
    """Local mode together with servers of a real installation."""
    return list(_local_mode())


@register(Tags.database, deploy=True)
def embedded_services(**_: Any) -> list[CheckMessage]:
    """A deployment whose pods would each have a Postgres, a Redis, a Kafka of their own."""
    return list(_embedded_services())


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
