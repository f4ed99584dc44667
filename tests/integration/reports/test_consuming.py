"""The consumer's loop with a broker that is played: what is written, committed, put aside, and when."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from django.db import OperationalError, connection
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError

from config.kernel.sql import load_queries
from reports import metrics
from reports.consuming import patience
from reports.consuming.dead_letters import Refused
from reports.consuming.loop import OrderConsumer, Until
from reports.events import decode
from reports.models import Consumption, HistoryEntry
from reports.projection import apply
from tests.integration.reports.records import TOPIC, Record, data, record

PARTITIONS = [TopicPartition(TOPIC, number) for number in range(3)]


class PlayedGroup:
    """Hands out batches, and remembers what was committed with what the history had then."""

    def __init__(self, batches: Sequence[dict[int, list[Record]]]) -> None:
        self.assigned = set(PARTITIONS)
        self.committed: list[dict[int, int]] = []
        self.written_before: list[int] = []
        self.while_waiting: list[Callable[[], dict[int, list[Record]]]] = []
        self.closed = False
        self._batches = list(batches)

    def records(self) -> dict[TopicPartition, list[Record]]:
        return of(self._batches.pop(0)) if self._batches else {}

    def keep(self) -> dict[TopicPartition, list[Record]]:
        return of(self.while_waiting.pop(0)()) if self.while_waiting else {}

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.committed.append({partition.partition: offset for partition, offset in offsets.items()})
        self.written_before.append(HistoryEntry.objects.count())

    def ends(self) -> dict[int, int]:
        return {0: 50}

    def positions(self) -> dict[TopicPartition, int]:
        return {PARTITIONS[0]: 7}

    def is_at_end(self) -> bool:
        return not self._batches

    def close(self) -> None:
        self.closed = True


class PlayedDeadLetters:
    """Keeps what it is given; fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.kept: list[Refused] = []
        self._failures = failures

    def put(self, refused: Sequence[Refused]) -> None:
        if refused and self._failures:
            self._failures -= 1
            raise KafkaTimeoutError("played")
        self.kept += refused

    def close(self) -> None:
        """Nothing to close."""


def of(numbered: dict[int, list[Record]]) -> dict[TopicPartition, list[Record]]:
    return {PARTITIONS[number]: records for number, records in numbered.items()}


def some(partition: int, *offsets: int) -> list[Record]:
    return [record(data(f"o{partition}-{offset}"), offset=offset, partition=partition) for offset in offsets]


@pytest.fixture(autouse=True)
def _no_long_waits(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_SECONDS", 0.001)


def consume(
    group: PlayedGroup, monkeypatch: pytest.MonkeyPatch, dead_letters: PlayedDeadLetters | None = None
) -> PlayedDeadLetters:
    consumer = OrderConsumer(
        group="g", batch=100, session_seconds=10, until=Until.IDLE, told=threading.Event(), member="m"
    )
    letters = dead_letters or PlayedDeadLetters()
    monkeypatch.setattr(consumer, "_open", lambda: group)
    monkeypatch.setattr(consumer, "_dead_letters", letters)
    consumer.run()
    assert group.closed
    return letters


def failing(monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> None:
    """Let the next transactions end in these errors."""
    left = list(errors)

    def failing_apply(*arguments: Any, **options: Any) -> Any:
        if left:
            raise left.pop(0)
        return apply(*arguments, **options)

    monkeypatch.setattr("reports.consuming.loop.apply", failing_apply)


def test_written_first_and_committed_then(monkeypatch: pytest.MonkeyPatch) -> None:
    group = PlayedGroup([{0: some(0, 4, 5), 2: some(2, 1)}, {0: some(0, 6)}])
    consume(group, monkeypatch)
    assert group.committed == [{0: 6, 2: 2}, {0: 7}]
    assert group.written_before == [3, 4]
    row = Consumption.objects.get(partition=0)
    assert (row.offset, row.end_offset, row.events, row.member) == (7, 50, 3, "m")


def test_whatever_a_rebalance_does_what_is_in_hand_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition that is taken and given back goes on behind the records in hand: they come only once."""
    group = PlayedGroup([{0: some(0, 4), 1: some(1, 8, 9)}])
    group.while_waiting = [lambda: {2: some(2, 3)}, dict, lambda: {1: some(1, 10)}]
    failing(monkeypatch, *[OperationalError("away")] * 4)
    consume(group, monkeypatch)
    assert group.committed == [{0: 5, 1: 11, 2: 4}]
    assert set(HistoryEntry.objects.values_list("order_id", flat=True)) == {"o0-4", "o1-8", "o1-9", "o1-10", "o2-3"}


def test_read_again_while_the_reports_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    consume(PlayedGroup([{0: some(0, 4, 5)}]), monkeypatch)
    with connection.cursor() as cursor:
        cursor.execute(load_queries("reports", "rebuild").rebuild_forget)
    consume(PlayedGroup([{0: some(0, 4, 5, 6)}]), monkeypatch)
    assert sorted(HistoryEntry.objects.values_list("offset", flat=True)) == [4, 5, 6]


def test_told_while_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    group, told = PlayedGroup([{0: some(0, 4)}]), threading.Event()
    consumer = OrderConsumer(group="g", batch=1, session_seconds=10, until=Until.NEVER, told=told, member="m")
    monkeypatch.setattr(consumer, "_open", lambda: group)
    failing(monkeypatch, *[OperationalError("away")] * 100)
    group.while_waiting = [lambda: told.set() or {}]  # type: ignore[func-returns-value]
    consumer.run()
    assert (group.committed, group.closed, HistoryEntry.objects.count()) == ([], True, 0)


def test_what_is_no_event_is_put_aside_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Record([("ce_type", b"other")], b"{}", offset=5)
    group = PlayedGroup([{0: [*some(0, 4), bad, *some(0, 6)]}])
    failing(monkeypatch, OperationalError("away"), OperationalError("away"))
    letters = consume(group, monkeypatch, PlayedDeadLetters(failures=2))
    assert [each.record.offset for each in letters.kept] == [5]
    assert group.committed == [{0: 7}]
    assert Consumption.objects.get().dead_letters == 1


def test_an_event_that_only_postgres_refuses_is_put_aside_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def lenient(record_: Any) -> Any:
        found = decode(record_)
        return found._replace(state=found.state._replace(country="x" * 65)) if record_.offset == 6 else found

    monkeypatch.setattr("reports.consuming.batch.decode", lenient)
    group = PlayedGroup([{0: some(0, 4, 5, 6, 7)}])
    letters = consume(group, monkeypatch)
    assert [each.record.offset for each in letters.kept] == [6]
    assert "too long" in letters.kept[0].error
    assert set(HistoryEntry.objects.values_list("offset", flat=True)) == {4, 5, 7}
    assert Consumption.objects.get().offset == 8


def test_events_that_were_never_read_are_missed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = metrics.missed._value.get()
    consume(PlayedGroup([{0: some(0, 4)}, {0: some(0, 5), 1: some(1, 9)}, {0: some(0, 5, 6)}]), monkeypatch)
    assert metrics.missed._value.get() == before
    consume(PlayedGroup([{0: some(0, 12)}]), monkeypatch)
    assert metrics.missed._value.get() == before + 5
    assert "events_missed" in caplog.text


def test_it_shows_life_when_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    consume(PlayedGroup([]), monkeypatch)
    assert (Consumption.objects.get().offset, Consumption.objects.get().lag) == (7, 43)
