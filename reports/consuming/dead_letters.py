"""
Records that are no events of orders go to a topic of their own, whole, with where they came from and why.

Records are anybody's, so they may be what our client does not send (neither key nor value, headers without one) and
what the topic of dead letters does not take (its limit of size is its own). Then as much of them goes as can.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from kafka import KafkaProducer
from kafka.errors import InvalidRecordError, KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from config.kernel.kafka.clients import kafka_python_settings
from config.kernel.kafka.topics import topic_name

CLIENT_ID: Final = "sluice-reports-dead-letters"
SEND_SECONDS: Final = 30
CLOSE_SECONDS: Final = 1
ERROR_CHARACTERS: Final = 1_000
ORIGIN_TOPIC: Final = "sluice_origin_topic"
ORIGIN_PARTITION: Final = "sluice_origin_partition"
ORIGIN_OFFSET: Final = "sluice_origin_offset"
ERROR: Final = "sluice_error"
OMITTED: Final = "sluice_value_omitted"
CONTENT_ERRORS: Final = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError)
"""What the client or the broker says of a record that it will never take."""


class Refused(NamedTuple):
    """A record, and why it is no event."""

    record: Any
    error: str


class _Letter(NamedTuple):
    """What is sent of a record."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


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
            waiting = [_letters(each) for each in refused]
            while waiting:
                waiting = self._not_taken(waiting)
        except KafkaError:
            self.close()  # a producer that failed once may stay wedged
            raise

    def close(self) -> None:
        """Let go of the broker."""
        if self._producer is None:
            return
        producer, self._producer = self._producer, None
        try:
            producer.close(timeout=CLOSE_SECONDS)
        except KafkaError:  # it flushes first, and then forgets to end its thread
            producer._sender.force_close()
            producer._sender.join(CLOSE_SECONDS)
            producer._closed = True

    def _open(self) -> KafkaProducer:
        if self._producer is None:
            self._producer = KafkaProducer(
                **kafka_python_settings(client_id=CLIENT_ID),
                acks="all",
                enable_idempotence=False,  # with it, every send fails after one whose size was refused
                metrics_enabled=False,
                allow_auto_create_topics=False,
                delivery_timeout_ms=SEND_SECONDS * 1000,
                max_block_ms=SEND_SECONDS * 1000,
            )
        return self._producer

    def _not_taken(self, waiting: Sequence[Iterator[_Letter]]) -> list[Iterator[_Letter]]:
        """Send the next letter about each record; returns those of which less has to be sent."""
        producer = self._open()
        futures = [self._send(producer, letters) for letters in waiting]
        # Nothing to flush: the client does not wait for more, and its flush fails when it splits a batch.
        return [letters for letters, future in zip(waiting, futures, strict=True) if not _is_taken(future)]

    def _send(self, producer: KafkaProducer, letters: Iterator[_Letter]) -> Any:
        too_large: KafkaError = MessageSizeTooLargeError()
        for letter in letters:
            try:
                return producer.send(topic_name("orders-dlq"), **letter._asdict())
            except MessageSizeTooLargeError as error:  # the client's own limit; with our headers it is over it
                too_large = error
        raise too_large  # of hundreds of bytes: nothing could be put aside


def _is_taken(future: Any) -> bool:
    try:
        future.get(timeout=SEND_SECONDS)
    except CONTENT_ERRORS:
        return False
    return True


def _letters(refused: Refused) -> Iterator[_Letter]:
    """All of a record; if that is refused, all but its value; if that is, too, only where it is."""
    record = refused.record
    own = [(name, b"" if value is None else value) for name, value in record.headers]
    ours = [
        (ORIGIN_TOPIC, record.topic.encode()),
        (ORIGIN_PARTITION, str(record.partition).encode()),
        (ORIGIN_OFFSET, str(record.offset).encode()),
        (ERROR, refused.error[:ERROR_CHARACTERS].encode(errors="replace")),
    ]
    key = b"" if record.key is None else record.key  # without a value there has to be one
    yield _Letter(record.key if record.value is not None else key, record.value, [*own, *ours])
    ours.append((OMITTED, b"true"))
    yield _Letter(key, None, [*own, *ours])
    yield _Letter(b"", None, ours)
