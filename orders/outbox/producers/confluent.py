"""
The faster producer: confluent-kafka (librdkafka), installed apart (requirements-confluent.txt).

A Python call for each acknowledged event would cost as much as the rest of the relay together. So only failures are
reported (`delivery.report.only.error`), and acknowledged is what was sent when nothing is in flight any more; the relay
lets a window run empty, and reads on from Postgres meanwhile. Deliveries never time out: see kafka_python.py.
"""

import time
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer as Client

from config.kernel.kafka.clients import confluent_settings
from config.kernel.kafka.topics import topic_name
from orders.outbox.events import Event
from orders.outbox.producers.interface import PoisonEventError, RefusedError, UnrecoverableError
from orders.outbox.producers.records import header_maker, size_bytes

METADATA_MS: Final = 30_000
"""After so long it knows of partitions that were added."""
LINGER_MS: Final = 5
QUEUED_EVENTS: Final = 200_000
QUEUED_KIB: Final = 256 << 10
POLL_EVENTS: Final = 256
"""Between two looks at what failed."""
REACH_SECONDS: Final = 30.0
CLOSE_SECONDS: Final = 0.5
CONTENT_ERRORS: Final = (
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.INVALID_RECORD,
)
GONE: Final = (
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)


class ConfluentProducer:
    """
    Args:
        limits: of each topic ("orders", "imports"), how many bytes a batch may have on the broker.
    Raises:
        UnrecoverableError: no broker answers.
    """

    def __init__(self, limits: dict[str, int]) -> None:
        self.sent = 0
        self._settled = 0
        self._limits = limits
        self._topics = {topic: topic_name(topic) for topic in limits}
        self._headers = header_maker()
        self._failure: KafkaError | None = None
        self._client = Client(
            {
                **confluent_settings(client_id="sluice-relay"),
                "acks": "all",
                "enable.idempotence": True,
                "allow.auto.create.topics": False,
                "topic.metadata.refresh.interval.ms": METADATA_MS,
                "message.timeout.ms": 0,  # never
                "message.max.bytes": max(limits.values()),
                "linger.ms": LINGER_MS,
                "queue.buffering.max.messages": QUEUED_EVENTS,
                "queue.buffering.max.kbytes": QUEUED_KIB,
                "delivery.report.only.error": True,
                "error_cb": self._on_error,
                "log_level": 2,
            }
        )
        try:
            self._client.list_topics(timeout=REACH_SECONDS)
        except KafkaException as error:
            raise UnrecoverableError(f"Kafka cannot be reached: {error}") from error
        self._produce = self._client.produce

    def send(self, event: Event, partition: int) -> None:
        topic, data = event.topic, event.data
        limit = self._limits[topic]
        if len(data) > limit >> 1 and (size := size_bytes(event)) > limit:
            raise PoisonEventError(f"The event has {size:,} bytes, its topic takes {limit:,}.")
        try:
            self._produce(
                self._topics[topic],
                data,
                event.partition_key,
                partition,
                self._on_failure,
                headers=self._headers(event),
            )
        except BufferError:
            self._make_room()
            self.send(event, partition)
            return
        except KafkaException as error:
            if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise PoisonEventError(str(error)) from error
            raise UnrecoverableError(f"confluent-kafka does not send: {error}") from error
        self.sent += 1
        if not self.sent % POLL_EVENTS:
            self._client.poll(0)

    def settled(self) -> int:
        self._client.poll(0)
        self._look()
        if not len(self._client):
            self._look()
            self._settled = self.sent
        return self._settled

    def wait(self, seconds: float) -> None:
        self.flush(seconds)

    def flush(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while len(self._client) and self._failure is None and (rest := until - time.monotonic()) > 0:
            self._client.flush(min(rest, 1.0))
        return self.settled() == self.sent

    def close(self) -> None:
        self._client.purge()  # else letting go of it would wait for the broker
        self._client.flush(CLOSE_SECONDS)

    def _make_room(self) -> None:
        """The client's queue is full, which the relay's window should prevent."""
        self._client.poll(0.1)

    def _look(self) -> None:
        error = self._failure
        if error is None:
            return
        if error.code() in CONTENT_ERRORS:
            raise RefusedError(error.str())
        if error.code() in GONE:
            raise UnrecoverableError("The topic or its partition is gone from the broker: run manage.py kafka_topics.")
        raise UnrecoverableError(f"A delivery failed: {error.str()}")

    def _on_failure(self, error: KafkaError | None, _: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = error

    def _on_error(self, error: KafkaError) -> None:
        """Of the client as a whole; what it does not call fatal, such as a broker that is away, it mends by itself."""
        if error.fatal() and self._failure is None:
            self._failure = error
