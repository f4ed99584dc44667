"""
Membership in the consumer group: records in, offsets out.

Nothing is in hand when a rebalance happens: it happens inside `records`, and between two calls of it everything was
written and committed. Only while something is waited for (`keep`) partitions can go whose records are still in hand.
They stay in hand, for they may come back, and the client goes on behind them then. Whatever is committed for a
partition that another member has meanwhile is left out here or refused by the broker, which knows generations; that
member reads the same records again, and the projection does not mind.
"""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from django.conf import settings
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import CommitFailedError, KafkaError, KafkaTimeoutError, RebalanceInProgressError
from kafka.structs import OffsetAndMetadata

from config.kernel.kafka.clients import kafka_python_settings
from config.kernel.kafka.topics import topic_name

log = structlog.get_logger(__name__)

GROUP: Final = "sluice.reports"
CLIENT_ID: Final = "sluice-reports"
POLL_MS: Final = 500
COMMIT_MS: Final = 10_000
CLOSE_MS: Final = 3_000
SESSION_SECONDS: Final = 10
"""After which a silent member has left. The embedded broker lets everybody who joins wait for half of it."""
MAX_POLL_INTERVAL_MS: Final = 120_000
"""Longer than any single wait between two polls: for Postgres at most `projection.LOCK_TIMEOUT_MS`."""

Records = dict[TopicPartition, list[Any]]


def group_name() -> str:
    """The group of this installation's consumers: with the prefix of its topics, for others may share the broker."""
    return f"{settings.KAFKA_TOPIC_PREFIX}{GROUP}"


class Group:
    """
    A member of the group that reads the topic of orders.

    Args:
        group: its name on the broker.
        batch: records at most in one go.
        session_seconds: after which a silent member's partitions are given to others; 6 at least, for most brokers.
    """

    def __init__(self, *, group: str, batch: int, session_seconds: int = SESSION_SECONDS) -> None:
        self._consumer = KafkaConsumer(
            **kafka_python_settings(client_id=CLIENT_ID),
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            max_poll_records=batch,
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
            session_timeout_ms=session_seconds * 1000,
            heartbeat_interval_ms=session_seconds * 1000 // 5,
            metrics_enabled=False,  # kafka-python's own, which nobody reads
        )
        self._consumer.subscribe([topic_name("orders")], listener=_Listener())

    @property
    def assigned(self) -> set[TopicPartition]:
        """The partitions that this member reads."""
        return set(self._consumer.assignment())

    def records(self) -> Records:
        """
        The next records, after joining the group if need be; none after half a second.

        Raises:
            kafka.errors.KafkaError: make a new member.
        """
        self._consumer.resume(*self._consumer.paused())
        found: Records = self._consumer.poll(timeout_ms=POLL_MS)
        return found

    def keep(self) -> Records:
        """
        Stay a member while something is waited for.

        Returns:
            records of partitions that came in a rebalance, if there was one; whoever waits has them in hand, too, then.
        """
        self._consumer.pause(*self._consumer.assignment())
        found: Records = self._consumer.poll(timeout_ms=0)
        return found

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """
        Tell the broker where to go on: for each partition the next offset to be read. What is not ours is left out.

        A failure costs nothing but reading some records again: the next commit tells more.
        """
        ours = {
            partition: OffsetAndMetadata(offset, "", -1)
            for partition, offset in offsets.items()
            if partition in self.assigned
        }
        try:
            self._consumer.commit(ours, timeout_ms=COMMIT_MS)
        except (CommitFailedError, RebalanceInProgressError) as error:
            log.info("offsets_not_ours", error=type(error).__name__, partitions=_numbers(ours))
        except KafkaError as error:
            log.warning("offsets_not_committed", error=f"{type(error).__name__}: {error}", partitions=_numbers(ours))

    def ends(self) -> dict[int, int]:
        """Partition → the next offset to be written, as last heard; of those that were heard of."""
        heard = {partition.partition: self._consumer.highwater(partition) for partition in self.assigned}
        return {partition: end for partition, end in heard.items() if end is not None}

    def positions(self) -> dict[TopicPartition, int]:
        """For each partition of this member the next offset to be read, where that is known already."""
        found = {}
        for partition in self.assigned:
            try:
                found[partition] = self._consumer.position(partition, timeout_ms=POLL_MS)
            except KafkaTimeoutError:
                continue
        return found

    def is_at_end(self) -> bool:
        """Whether everything was read that is there now; asks the broker."""
        assigned = self.assigned
        if not assigned:
            return False
        ends: dict[TopicPartition, int] = self._consumer.end_offsets(assigned)
        return all(self._consumer.position(partition) >= ends[partition] for partition in assigned)

    def close(self) -> None:
        """Leave the group, so that others need not wait for a silence."""
        self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Runs on the client's own thread, which must not wait for anything: it only tells."""

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        log.info("partitions_revoked", partitions=_numbers(revoked))

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        log.info("partitions_assigned", partitions=_numbers(assigned))

    def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        log.warning("partitions_lost", partitions=_numbers(lost))


def _numbers(partitions: Any) -> list[int]:
    return sorted(partition.partition for partition in partitions)
