"""Whether this process can serve: its database answers and is migrated. Redis may be away."""

from dataclasses import dataclass
from functools import cache
from typing import Final

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from redis import Redis, RedisError

from config.deadline import Question
from config.kernel.caching import client

ANSWER_SECONDS: Final = 1.5
FRESH_SECONDS: Final = 1.0

OK: Final = "ok"
UNREACHABLE: Final = "unreachable"


@dataclass(frozen=True)
class Readiness:
    """
    Args:
        missing: migrations that this code has and the database has not; empty when it is ready.
        cache: OK or UNREACHABLE.
    """

    missing: tuple[str, ...]
    cache: str


def _ask() -> Readiness:
    return Readiness(missing=missing_migrations(), cache=_state_of(client()))


readiness: Final = Question(_ask, seconds=ANSWER_SECONDS, fresh_seconds=FRESH_SECONDS)
"""Raises what the database raises, or NoAnswerError."""


def missing_migrations() -> tuple[str, ...]:
    """Migrations that are not applied, as `migrate --check` would say; the files are read once a process."""
    applied = set(MigrationRecorder(connection).applied_migrations())
    return tuple(
        f"{app}.{name}"
        for (app, name), replaced in _known_migrations().items()
        if (app, name) not in applied and not (replaced and applied.issuperset(replaced))
    )


@cache
def _known_migrations() -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
    """Migrations of this code, each with those that it replaces."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    replaced = {old for migration in loader.disk_migrations.values() for old in migration.replaces}
    return {key: tuple(migration.replaces) for key, migration in loader.disk_migrations.items() if key not in replaced}


def _state_of(redis: "Redis") -> str:
    try:
        redis.ping()
    except (RedisError, OSError):
        return UNREACHABLE
    return OK
