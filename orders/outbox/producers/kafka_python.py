"""
The producer that Sluice comes with: kafka-python.

Its ways that matter here (3.0, docs/adr/0019): after a delivery timed out it can be stuck for ever, so deliveries
never time out and the relay watches for progress instead; after the broker refused a size, every later send fails, so
sizes are checked before; `flush` tells of no failure, so every future is looked at.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import (
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)

from config.kernel.kafka.clients import kafka_python_settings
from config.kernel.kafka.topics import topic_name
from orders.outbox.events import Event
from orders.outbox.producers.interface import PoisonEventError, RefusedError, UnrecoverableError
from orders.outbox.producers.records import check_size, header_maker

BATCH_BYTES: Final = 256 << 10
"""Of a partition's batch; there is one in flight per partition, so small ones cost a round trip each."""
METADATA_MS: Final = 30_000
"""After so long it knows of partitions that were added."""
NEVER_MS: Final = 2**31 - 1
REACH_SECONDS: Final = 30.0
BLOCK_MS: Final = 10_000
"""How long a send may wait for what the broker says of a topic."""
CLOSE_SECONDS: Final = 0.5
POLL_SECONDS: Final = 0.002
CONTENT_ERRORS: Final = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError)


class KafkaPythonProducer:
    """
    Args:
        limits: of each topic ("orders", "imports"), how many bytes a batch may have on the broker.
    Raises:
        UnrecoverableError: no broker answers.
    """

    def __init__(self, limits: dict[str, int]) -> None:
        self.sent = 0
        self._limits = limits
        self._topics = {topic: topic_name(topic) for topic in limits}
        self._headers = header_maker()
        self._pending: deque[Any] = deque()
        self._settled = 0
        smallest = min(limits.values())
        try:
            self._producer = KafkaProducer(
                **kafka_python_settings(client_id="sluice-relay"),
                acks="all",
                enable_idempotence=True,
                allow_auto_create_topics=False,
                batch_size=min(BATCH_BYTES, smallest),
                max_request_size=max(limits.values()),
                metadata_max_age_ms=METADATA_MS,
                delivery_timeout_ms=NEVER_MS,
                max_block_ms=BLOCK_MS,
                bootstrap_timeout_ms=int(REACH_SECONDS * 1_000),
                metrics_enabled=False,  # nobody reads them, and they cost up to half the throughput
            )
        except (KafkaError, OSError) as error:
            raise UnrecoverableError(f"Kafka cannot be reached: {error}") from error

    def send(self, event: Event, partition: int) -> None:
        self.send_all((event,), lambda _: partition)

    def send_all(self, events: Sequence[Event], partition: Callable[[Event], int]) -> None:
        send, headers, topics, limits, pending = (
            self._producer.send, self._headers, self._topics, self._limits, self._pending,
        )  # fmt: skip
        for event in events:
            topic, _, _, _, _, key, _, _, data = event
            if len(data) > limits[topic] >> 1:
                check_size(event, limits[topic])
            try:
                pending.append(send(topics[topic], data, key.encode(), headers(event), partition(event)))
            except MessageSizeTooLargeError as error:
                raise PoisonEventError(str(error)) from error
            except (KafkaError, OSError, ValueError) as error:  # ValueError: no such partition
                raise UnrecoverableError(f"kafka-python does not send: {error or type(error).__name__}") from error
            self.sent += 1

    def settled(self) -> int:
        pending = self._pending
        while pending and pending[0].is_done:
            future = pending.popleft()
            if future.exception is not None:
                _fail(future.exception)
            self._settled += 1
        return self._settled

    def wait(self, seconds: float) -> None:
        before, until = self._settled, time.monotonic() + seconds
        while self.settled() == before and self._pending:
            rest = until - time.monotonic()
            if rest <= 0:
                return
            # Its batch's latch: the future itself has none. A batch that was split wakes it, too.
            self._pending[0]._produce_future.wait(rest)
            if not self._pending[0].is_done:
                time.sleep(min(rest, POLL_SECONDS))

    def flush(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while self.settled() < self.sent and time.monotonic() < until:
            self.wait(until - time.monotonic())
        return self._settled == self.sent

    def close(self) -> None:
        producer = self._producer
        try:
            producer.close(timeout=CLOSE_SECONDS)
        except KafkaTimeoutError:  # it flushes first, and then forgets to end its thread
            producer._sender.force_close()
            producer._sender.join(CLOSE_SECONDS)
            producer._closed = True


def _fail(error: BaseException) -> None:
    if isinstance(error, CONTENT_ERRORS):
        raise RefusedError(f"{type(error).__name__}: {error}") from error
    if isinstance(error, UnknownTopicOrPartitionError):
        raise UnrecoverableError("The topic or its partition is gone from the broker: run manage.py kafka_topics.")
    raise UnrecoverableError(f"A delivery failed: {type(error).__name__}: {error}") from error
