"""How many partitions count, when several ask at once or topics differ."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from config.kernel.kafka.admin import TopicState
from config.kernel.kafka.topics import topic_name
from orders.outbox.management.commands import kafka_topics
from orders.outbox.models import Partitioning
from orders.outbox.partitioning import ALWAYS, generation_begin, newest


def test_whoever_starts_at_once_writes_one_generation(database: str) -> None:
    start = threading.Barrier(6)
    found = []

    def begin() -> None:
        start.wait()
        found.append(generation_begin(topic="orders", partitions=6))
        connection.close()

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [ALWAYS] * 6
    assert Partitioning.objects.count() == 1


@pytest.mark.django_db
def test_a_topic_that_has_more_keeps_no_other_from_growing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    partitions = {topic_name("orders"): 6, topic_name("orders-dlq"): 6, topic_name("imports"): 24}

    @contextmanager
    def administration() -> Iterator[None]:
        yield

    def states(_: Any, names: list[str]) -> dict[str, TopicState]:
        return {name: TopicState(name, partitions[name], 1, 1_000_000) for name in names}

    def grow(_: Any, name: str, *, partitions: int) -> None:
        counts[name] = partitions

    counts = partitions
    monkeypatch.setattr(kafka_topics, "administration", administration)
    monkeypatch.setattr(kafka_topics, "topic_states", states)
    monkeypatch.setattr(kafka_topics, "topic_grow", grow)
    with pytest.raises(SystemExit) as ended:
        call_command("kafka_topics", "--partitions", "12")
    assert ended.value.code == 0
    assert list(partitions.values()) == [12, 12, 24]
    assert (newest("orders"), newest("imports")) == (12, 24)
    assert f"{topic_name('imports')} has 24 partitions already" in capsys.readouterr().out
    with pytest.raises(CommandError):
        call_command("kafka_topics", "--partitions", "8")
