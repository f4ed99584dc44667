"""The relay's loop with a producer that does as the test wishes."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings

from orders.outbox.append import append_bulk
from orders.outbox.events import Event
from orders.outbox.lanes import ALL_LANES
from orders.outbox.leases import claim
from orders.outbox.models import Decision, Entry, HaltedKey, HeldEvent, Lane, Receipt, Relay
from orders.outbox.partitioning import generation_begin
from orders.outbox.producers.interface import RefusedError, UnrecoverableError
from orders.outbox.relay.loop import Loop
from tests.integration.outbox.writing import write

Connect = Callable[[], Any]
STEPS: Final = 2_000


class Broker:
    """
    Acknowledges what comes before a refused event, and only then refuses that one, as brokers do that look at batches.

    Args:
        refuses: ids of events.
    """

    def __init__(self, *refuses: str) -> None:
        self.refuses = refuses
        self.gone = False
        self.taken: list[str] = []
        self.producers = 0

    def connect(self) -> "Producer":
        self.producers += 1
        return Producer(self)


class Producer:
    def __init__(self, broker: Broker) -> None:
        self.sent = 0
        self.closed = False
        self._broker = broker
        self._queue: list[str] = []
        self._settled = 0

    def send(self, event: Event, partition: int) -> None:
        assert not self.closed
        self._queue.append(event.id)
        self.sent += 1

    def send_all(self, events: Sequence[Event], partition: Callable[[Event], int]) -> None:
        for event in events:
            self.send(event, partition(event))

    def settled(self) -> int:
        if self._broker.gone:
            raise UnrecoverableError("gone")
        before = self._settled
        while self._settled < self.sent and self._queue[self._settled] not in self._broker.refuses:
            self._broker.taken.append(self._queue[self._settled])
            self._settled += 1
        if before == self._settled < self.sent:
            raise RefusedError("too large")
        return self._settled

    def wait(self, seconds: float) -> None:
        self.settled()

    def flush(self, seconds: float) -> bool:
        while self.settled() < self.sent:
            pass
        return True

    def close(self) -> None:
        self.closed = True


def loop(broker: Broker, *, told_to_end: Callable[[], bool] | None = None, poll_seconds: float = 0.0) -> Loop:
    """It ends after many steps in any case."""
    steps = iter(range(STEPS))
    return Loop(
        name="all",
        lanes=ALL_LANES,
        owner="me",
        connect=broker.connect,
        told_to_end=told_to_end or (lambda: next(steps, None) is None),
        poll_seconds=poll_seconds,
        sends_held=True,
    )


@pytest.fixture(autouse=True)
def _generation(database: str) -> None:
    generation_begin(topic="orders", partitions=6)


def test_the_refused_event_is_found_behind_others_that_were_acknowledged(connect: Connect) -> None:
    cursor = connect().cursor()
    for number in range(1, 13):
        write(cursor, "o1", number)
        write(cursor, f"other{number}")
    broker = Broker("o1:10")
    loop(broker).run(until_empty=True)
    assert HaltedKey.objects.get().event_id == "o1:10"
    assert list(HeldEvent.objects.order_by("id").values_list("event_id", flat=True)) == ["o1:10", "o1:11", "o1:12"]
    firsts = list(dict.fromkeys(broker.taken))
    assert [event for event in firsts if event.startswith("o1:")] == [f"o1:{number}" for number in range(1, 10)]
    assert len(firsts) == 9 + 12
    assert broker.producers == 3, "one that was refused, one that found out which event it was, one to go on"
    write(cursor, "later")
    loop(broker).run(until_empty=True)
    assert broker.taken[-1] == "later:1"


def test_a_damaged_import_is_named(connect: Connect) -> None:
    write(connect().cursor(), "7")
    bad = Entry.objects.get()
    Entry.objects.update(kind="import", payload=b"{")
    loop(Broker()).run(until_empty=True)
    assert f"Entry {bad.id} (import " in Lane.objects.exclude(halted_reason="").get().halted_reason


def test_a_lost_database_costs_the_page_that_was_read_ahead_only(connect: Connect) -> None:
    """Both threads have a connection, and both get another one."""
    cursor = connect().cursor()
    for number in range(1, 2_501):
        write(cursor, "o1", number)
    broker = Broker()
    lost: list[int] = []

    def told_to_end() -> bool:
        if broker.taken and not lost:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            lost.append(cursor.rowcount)
        return len(broker.taken) > 20_000

    loop(broker, told_to_end=told_to_end).run(until_empty=True)
    assert lost[0] >= 2
    assert list(dict.fromkeys(broker.taken)) == [f"o1:{number}" for number in range(1, 2_501)]
    assert len(broker.taken) <= 2 * 2_500


def test_a_relay_without_lanes_waits_quietly(connect: Connect) -> None:
    claim("other", lanes=ALL_LANES, most=len(ALL_LANES), seconds=600)
    end, asked = time.monotonic() + 1, []

    def told_to_end() -> bool:
        asked.append(time.monotonic())
        return asked[-1] > end

    loop(Broker(), told_to_end=told_to_end, poll_seconds=0.05).run()
    assert 1 < len(asked) < 50


def test_who_cannot_go_on_leaves_its_lanes_to_others(connect: Connect) -> None:
    write(connect().cursor(), "o1")
    broker = Broker()
    broker.gone = True
    with pytest.raises(UnrecoverableError):
        loop(broker).run(until_empty=True)
    assert set(Lane.objects.values_list("owner", flat=True)) == {""}
    assert not Relay.objects.exists()
    broker.gone = False
    loop(broker).run(until_empty=True)
    assert broker.taken == ["o1:1"]


def placed(pairs: Any) -> Iterator[Event]:
    """As OUTBOX_EXPAND: the events of orders."""
    for key, version in pairs:
        if key == "bad":
            raise KeyError(key)
        at = datetime(2026, 3, 4, tzinfo=UTC)
        yield Event("orders", f"{key}:{version}", "t", key, version, key, at, "2026-03-04T00:00:00Z", b"{}")


def bulk(source: str, *keys: str) -> Entry:
    from django.db import connection

    with connection.cursor() as cursor:
        append_bulk(cursor, order_ids=keys, type="t", source=source)
    return Entry.objects.get(source=source)


@pytest.mark.parametrize("payload", [b"SB1damaged", b"XYZ", None])
@override_settings(OUTBOX_EXPAND=f"{__name__}.placed")
def test_a_lane_with_an_entry_that_cannot_be_read_is_halted_alone(connect: Connect, payload: bytes | None) -> None:
    good, bad = bulk("import:1/1", "b1", "b2"), bulk("import:1/2", "b3", "b4" if payload else "bad")
    behind = bulk("import:1/3", "b5")
    Entry.objects.update(lane=9)  # all in one
    Receipt.objects.update(lane=9)
    if payload:
        Entry.objects.filter(id=bad.id).update(payload=payload)
    write(connect().cursor(), "o1")
    broker = Broker()
    loop(broker).run(until_empty=True)
    assert sorted(broker.taken) == ["b1:1", "b2:1", "o1:1"]
    halted = Lane.objects.exclude(halted_reason="").get()
    assert (halted.lane, halted.owner, halted.after_id) == (9, "", good.id)
    assert f"Entry {bad.id} (bulk import:1/2)" in halted.halted_reason

    call_command("outbox_poison", "lane", "9", "--reason", "let us see")
    loop(broker).run(until_empty=True)
    halted.refresh_from_db()
    assert halted.halted_reason, "nothing was mended"
    with pytest.raises(CommandError):
        call_command("outbox_poison", "lane", "9", "--skip", str(behind.id), "--reason", "the wrong one")
    call_command("outbox_poison", "lane", "9", "--skip", str(bad.id), "--reason", "told by other means")
    loop(broker).run(until_empty=True)
    assert broker.taken[-1] == "b5:1"
    assert set(Receipt.objects.filter(published_at=None).values_list("source", flat=True)) == {"import:1/2"}
    assert list(Decision.objects.order_by("id").values_list("decision", "event_id")) == [
        ("resumed", ""),
        ("skipped", f"entry:{bad.id}"),
    ]
    with pytest.raises(CommandError):
        call_command("outbox_poison", "lane", "9", "--reason", "again")
