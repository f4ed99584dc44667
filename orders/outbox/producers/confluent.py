"""
The faster producer: confluent-kafka (librdkafka), installed apart (requirements-confluent.txt).

A Python call for each acknowledged event would cost as much as the rest of the relay together. So only failures are
reported (`delivery.report.only.error`), and acknowledged is what was sent when nothing is in flight any more; the relay
lets a window run empty, and reads on from Postgres meanwhile. Deliveries never time out: see kafka_python.py.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer as Client

from config.kernel.kafka.clients import confluent_settings
from config.kernel.kafka.topics import topic_name
from orders.outbox.events import Event
from orders.outbox.producers.interface import PoisonEventError, RefusedError, UnrecoverableError
from orders.outbox.producers.records import check_size, header_maker

METADATA_MS: Final = 30_000
"""After so long it knows of partitions that were added."""
LINGER_MS: Final = 20
"""For batches to fill: with less, the broker has twice the work."""
QUEUED_EVENTS: Final = 200_000
QUEUED_KIB: Final = 256 << 10
ROOM_SECONDS: Final = 5.0
"""For its queue to have room again."""
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

    def send(self, event: Event, partition: int) -> None:
        self.send_all((event,), lambda _: partition)

    def send_all(self, events: Sequence[Event], partition: Callable[[Event], int]) -> None:
        produce, headers, limits, topics, failed = (
            self._client.produce, self._headers, self._limits, self._topics, self._on_failure,
        )  # fmt: skip
        for event in events:
            topic, _, _, _, _, key, _, _, data = event
            if len(data) > limits[topic] >> 1:
                check_size(event, limits[topic])
            while True:
                try:
                    produce(topics[topic], data, key, partition(event), failed, headers=headers(event))
                    break
                except BufferError:
                    self._make_room()
                except KafkaException as error:
                    if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                        raise PoisonEventError(str(error)) from error
                    raise UnrecoverableError(f"confluent-kafka does not send: {error}") from error
            self.sent += 1
        self._client.poll(0)

    def _make_room(self) -> None:
        """The client's queue is full, which the relay's window should prevent."""
        until, full = time.monotonic() + ROOM_SECONDS, len(self._client)
        while len(self._client) >= full:
            if time.monotonic() > until:
                raise UnrecoverableError("The client's queue is full, and the broker takes nothing.")
            self._client.poll(0.1)

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
