"""Keys that are halted: which event is decided about, and in which order the held ones go."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from orders.outbox import halting
from orders.outbox.events import Event
from orders.outbox.halting import Refusal
from orders.outbox.models import Decision, HaltedKey, HeldEvent

Connect = Callable[[], Any]
KEY: halting.Key = ("orders", "o1")
WHY: dict[str, Any] = {"topic": "orders", "key": "o1", "reason": "let us see", "by": "somebody"}
DAY = datetime(2026, 3, 4, tzinfo=UTC)


def version(number: int) -> Event:
    return Event("orders", f"o1:{number}", "t", "o1", number, "u1", DAY, "2026-03-04T00:00:00Z", b"{}")


def held() -> list[str]:
    return list(HeldEvent.objects.order_by("id").values_list("event_id", flat=True))


def send_released(*, refused: Sequence[int] = ()) -> list[int]:
    """The versions that a relay sends now, of keys that were released."""
    sent: list[int] = []

    def send(events: Sequence[Event]) -> Refusal | None:
        for event in events:
            if event.version in refused:
                return Refusal(event, "too large")
            sent.append(event.version)
        return None

    for key in halting.released_keys():
        halting.send_held(key, send)
    return sent


@pytest.mark.django_db
def test_what_is_held_goes_by_version() -> None:
    """A relay that was killed reads from where it was saved: version 1, which was sent, comes behind 2 and is held."""
    halting.halt(version(2), reason="too large")
    for number in (1, 3):
        halting.hold(version(number))
    halting.key_release(**WHY)
    assert send_released() == [1, 2, 3]
    assert not HaltedKey.objects.exists()
    assert not held()


@pytest.mark.django_db
def test_the_event_to_decide_about_is_the_one_that_was_refused_first() -> None:
    halting.halt(version(2), reason="too large")
    halting.halt(version(3), reason="too large, too")  # by a loop that had not heard yet
    halted = HaltedKey.objects.get()
    assert (halted.event_id, halted.reason, halted.attempts) == ("o1:2", "too large", 1)
    assert held() == ["o1:2", "o1:3"]
    assert halting.event_drop(**WHY) == "o1:2"
    assert send_released(refused=[3]) == []
    halted.refresh_from_db()
    assert (halted.event_id, halted.attempts) == ("o1:3", 2)


@pytest.mark.django_db
@pytest.mark.parametrize("decide", [halting.key_release, halting.event_drop])
def test_a_decision_counts_though_another_event_is_refused_before_it_is_heeded(decide: Callable[..., Any]) -> None:
    halting.halt(version(2), reason="too large")
    decide(**WHY)
    halting.halt(version(3), reason="too large")
    assert send_released(refused=[3]) == ([2] if decide is halting.key_release else [])
    assert HaltedKey.objects.get().event_id == "o1:3"
    assert send_released() == [], "the decision is used up"


def test_a_release_that_waited_is_later_than_the_halt_it_waited_for(database: str, connect: Connect) -> None:
    halting.halt(version(2), reason="too large")
    other = connect().cursor()
    other.execute("BEGIN")
    other.execute("SELECT id FROM outbox_halted FOR UPDATE")

    def release() -> None:
        halting.key_release(**WHY)
        connection.close()

    releasing = threading.Thread(target=release)
    releasing.start()
    until = time.monotonic() + 60
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while not _one(connect().cursor(), waiting):
        assert time.monotonic() < until
        time.sleep(0.01)
    other.execute("UPDATE outbox_halted SET halted_at = clock_timestamp()")
    other.execute("COMMIT")
    releasing.join(60)
    assert Decision.objects.get().at >= HaltedKey.objects.get().halted_at
    assert halting.released_keys() == [KEY]


def _one(cursor: Any, query: str) -> Any:
    cursor.execute(query)
    return cursor.fetchone()[0]
