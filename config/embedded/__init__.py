"""
Local services without Docker and without root: PostgreSQL, Valkey (Redis) and Tansu (Kafka) from PyPI wheels.

Each starts when it is first asked for, is shared by all commands of the checkout, and stops some seconds after the
last of them has ended. Nothing here is used where DATABASE_URL, REDIS_URL, KAFKA_BOOTSTRAP_SERVERS name servers.
See docs/adr/0001-embedded-services.md.
"""

from config.embedded.client import service_url
from config.embedded.errors import EmbeddedError

__all__ = ["EmbeddedError", "kafka_bootstrap", "postgres_url", "redis_url"]


def postgres_url(*, doubted: bool = False) -> str:
    """
    URL of the local database `sluice`, started if need be (`postgresql://sluice@/sluice?host=<directory>`).

    Args:
        doubted: a connection has just failed: wait until Postgres answers.
    Raises:
        EmbeddedError: it does not start.
    """
    return service_url("postgres", doubted=doubted)


def redis_url() -> str:
    """URL of the local Valkey, started if need be (`unix://<path>`; append `?db=N`)."""
    return service_url("redis")


def kafka_bootstrap() -> str:
    """`host:port` of the local Kafka broker, started if need be. It keeps its data in memory only."""
    return service_url("kafka")
