"""Records that are no events of orders go to a topic of their own, whole, with where they came from and why."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from config.kernel.kafka.clients import kafka_python_settings
from config.kernel.kafka.topics import topic_name

CLIENT_ID: Final = "sluice-reports-dead-letters"
SEND_SECONDS: Final = 30
ORIGIN_TOPIC: Final = "sluice_origin_topic"
ORIGIN_PARTITION: Final = "sluice_origin_partition"
ORIGIN_OFFSET: Final = "sluice_origin_offset"
ERROR: Final = "sluice_error"
OMITTED: Final = "sluice_value_omitted"


class Refused(NamedTuple):
    """A record, and why it is no event."""

    record: Any
    error: str


class DeadLetters:
    """The producer for them, made when the first one comes."""

    def __init__(self) -> None:
        self._producer: KafkaProducer | None = None

    def put(self, refused: Sequence[Refused]) -> None:
        """
        Return once the broker has all of them. A record may be there twice after a failure; its origin says so.

        Raises:
            kafka.errors.KafkaError: some may be missing; call again with all of them.
        """
        if not refused:
            return
        try:
            producer = self._open()
            futures = [self._send(producer, each) for each in refused]
            producer.flush(timeout=SEND_SECONDS)
            for future in futures:
                future.get(timeout=SEND_SECONDS)
        except KafkaError:
            self.close()  # a producer that failed once may stay wedged
            raise

    def close(self) -> None:
        """Let go of the broker."""
        if self._producer is not None:
            self._producer.close(timeout=1)
            self._producer = None

    def _open(self) -> KafkaProducer:
        if self._producer is None:
            self._producer = KafkaProducer(
                **kafka_python_settings(client_id=CLIENT_ID),
                acks="all",
                metrics_enabled=False,
                allow_auto_create_topics=False,
                delivery_timeout_ms=SEND_SECONDS * 1000,
                max_block_ms=SEND_SECONDS * 1000,
            )
        return self._producer

    def _send(self, producer: KafkaProducer, refused: Refused) -> Any:
        record, topic = refused.record, topic_name("orders-dlq")
        headers = [
            *record.headers,
            (ORIGIN_TOPIC, record.topic.encode()),
            (ORIGIN_PARTITION, str(record.partition).encode()),
            (ORIGIN_OFFSET, str(record.offset).encode()),
            (ERROR, refused.error.encode(errors="replace")),
        ]
        try:
            return producer.send(topic, key=record.key, value=record.value, headers=headers)
        except MessageSizeTooLargeError:  # it was as large as may be, and has more headers now
            return producer.send(topic, key=record.key, value=None, headers=[*headers, (OMITTED, b"true")])
