"""
The message broker: Redis, found when it is first used, never waited for long.

Messages are wake-ups (ADR 12), so an error of Redis is logged and forgotten: what has to be done is in Postgres.
"""

from typing import Any, Final

import dramatiq
import redis
import structlog
from django.conf import settings
from django.db import close_old_connections, connections
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import AgeLimit, Middleware, Retries
from redis.backoff import NoBackoff
from redis.connection import UnixDomainSocketConnection
from redis.exceptions import RedisError
from redis.retry import Retry

from config.embedded import EmbeddedError, redis_url

log = structlog.get_logger(__name__)

TASKS_DATABASE: Final = 1  # of the embedded Valkey; the cache has 0
MAX_AGE_MS: Final = 15 * 60_000
"""An older wake-up tells nothing that the sweeper has not told since."""
DEAD_MESSAGE_MS: Final = 3_600_000
HEARTBEAT_TIMEOUT_MS: Final = 30_000
MAINTENANCE_CHANCE: Final = 10_000  # of a million commands; dramatiq's default leaves messages of the dead for hours
IDLE_POLL_MS: Final = 100
LUA_STACK: Final = 4_000


class LocalConnection(UnixDomainSocketConnection):
    """To the embedded Valkey, which is started when somebody connects."""

    def _connect(self) -> Any:
        try:
            self.path = redis_url().removeprefix("unix://")
        except EmbeddedError as error:
            raise redis.ConnectionError(str(error)) from error
        return super()._connect()  # type: ignore[no-untyped-call]


class WakeUpConsumer(_RedisConsumer):
    """A consumer for which no message is worth waiting or failing."""

    def ack(self, message: Any) -> None:
        self._forgiving(super().ack, message)

    def nack(self, message: Any) -> None:
        self._forgiving(super().nack, message)

    def requeue(self, messages: Any) -> None:
        self._forgiving(super().requeue, messages)

    def __next__(self) -> Any:
        try:
            return super().__next__()  # type: ignore[no-untyped-call]
        except RedisError as error:  # dramatiq expects its ConnectionError only, not a time-out
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]

    def _forgiving(self, tell: Any, what: Any) -> None:
        try:
            tell(what)
        except (RedisError, ConnectionClosed, OSError) as error:
            # It comes again when Redis thinks that we are dead; a doubled wake-up does no harm.
            log.warning("message_not_settled", queue=self.queue_name, error=str(error))


class WakeUpBroker(RedisBroker):
    """
    dramatiq's broker with short time-outs. Making one connects to nothing.

    Args:
        timeout_seconds: for which a caller may be held up by a Redis that does not answer.
    """

    # Else the first message asks for it, in a round trip of its own.
    _max_unpack_size_val = LUA_STACK  # type: ignore[assignment]

    def __init__(self, *, timeout_seconds: float, middleware: list[Middleware]) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            client=_client(timeout_seconds),
            middleware=middleware,
            maintenance_chance=MAINTENANCE_CHANCE,
            heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
            dead_message_ttl=DEAD_MESSAGE_MS,
        )

    @property
    def namespace(self) -> str:
        """Before all our keys; read when used, because tests have one each."""
        return str(settings.TASKS_NAMESPACE)

    @namespace.setter
    def namespace(self, _: str) -> None:
        """Set by the parent's constructor, to its default."""

    @property
    def consumer_class(self) -> type[WakeUpConsumer]:
        return WakeUpConsumer

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        """
        As dramatiq's, but looks more often when idle, and takes no more messages than there are threads: one that waits
        behind a long slice here could be another process's.
        """
        if queue_name not in self.delay_queues:
            prefetch, timeout = max(1, prefetch // 2), min(timeout, IDLE_POLL_MS)
        return super().consume(queue_name, prefetch, timeout)

    def waiting(self, queue_name: str) -> int:
        """How many messages of a queue nobody has fetched yet. Raises redis.exceptions.RedisError."""
        return int(self.client.llen(f"{self.namespace}:{queue_name}"))


class Housekeeping(Middleware):
    """Around each message: database connections that are too old or broken are closed, logs say whose message it is."""

    def before_process_message(self, broker: Any, message: Any) -> None:
        close_old_connections()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(
            message_id=message.message_id,
            queue=message.queue_name,
            **({"woken_for": message.kwargs["import_id"]} if "import_id" in message.kwargs else {}),
        )

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        structlog.contextvars.clear_contextvars()
        close_old_connections()

    def after_skip_message(self, broker: Any, message: Any) -> None:
        self.after_process_message(broker, message)

    def before_worker_thread_shutdown(self, broker: Any, thread: Any) -> None:
        connections.close_all()


def _client(timeout_seconds: float) -> redis.Redis:
    options: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        # Nobody reads them, and telling them costs round trips.
        "driver_info": None,
        "protocol": 2,
    }
    if settings.TASKS_REDIS_URL:
        return redis.Redis(connection_pool=redis.ConnectionPool.from_url(settings.TASKS_REDIS_URL, **options))
    pool = redis.ConnectionPool(connection_class=LocalConnection, db=TASKS_DATABASE, **options)
    return redis.Redis(connection_pool=pool)


def install_broker() -> WakeUpBroker:
    """
    Make our broker the one that actors are declared on and messages go to.

    Middleware: rows count attempts, so messages are never retried; work may take long, so there is no time limit.
    Workers are told of a shutdown by a flag (`ingestion.shutdown`), not by an exception in the middle of something.
    """
    broker = WakeUpBroker(
        timeout_seconds=settings.TASKS_REDIS_TIMEOUT_SECONDS,
        middleware=[AgeLimit(max_age=MAX_AGE_MS), Housekeeping(), Retries(max_retries=0)],
    )
    dramatiq.set_broker(broker)
    return broker
