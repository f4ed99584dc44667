"""Which group the consumers of an installation are members of, and what a rebalance leaves of what was read."""

from collections.abc import Mapping
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata
from pytest_django import Settings

from reports.consuming.group import Group
from reports.management.commands.consume_orders import Command


def group(*arguments: str) -> str:
    return str(Command().create_parser("manage.py", "consume_orders").parse_args(arguments).group)


def test_installations_that_share_a_broker_are_no_group(settings: Settings) -> None:
    assert group() == "sluice.reports"
    settings.KAFKA_TOPIC_PREFIX = "staging."
    assert group() == "staging.sluice.reports"
    assert group("--group", "another") == "another"


class Played:
    """A KafkaConsumer in whose poll everything is taken and given back, as kafka-python does by default."""

    def __init__(self, **_: Any) -> None:
        self.committed: dict[int, int] = {}
        self._partition = TopicPartition("sluice.orders.v1", 3)

    def subscribe(self, _: list[str], listener: Any) -> None:
        self._listener = listener

    def assignment(self) -> set[TopicPartition]:
        return {self._partition}

    def paused(self) -> set[TopicPartition]:
        return set()

    def resume(self, *_: TopicPartition) -> None:
        """Nothing is paused."""

    def poll(self, **_: Any) -> dict[TopicPartition, list[str]]:
        self._listener.on_partitions_revoked(self.assignment())
        self._listener.on_partitions_assigned(self.assignment())
        return {self._partition: ["a record"]}

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], **_: Any) -> None:
        self.committed |= {partition.partition: each.offset for partition, each in offsets.items()}


def test_what_was_read_in_a_rebalance_is_committed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = ["nowhere:9092"]
    played = Played()
    monkeypatch.setattr("reports.consuming.group.KafkaConsumer", lambda **_: played)
    group = Group(group="g", batch=10)
    (partition,) = group.records()
    group.commit({partition: 12})
    assert played.committed == {3: 12}
