"""
Keys with an event that can never be sent as it is.

Such an event halts its own key: it and whatever follows of that key is held (`outbox_held`), everything else goes on.
Somebody looks, mends the cause (a topic that takes larger events, say) and releases the key, or drops the event. A
relay then sends what is held, by version. The row of the key is locked meanwhile, so that an event that comes just then
is either held behind the others or sent after them.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import structlog
from django.db import connection, transaction

from config.kernel.errors import ApplicationError
from config.kernel.sql import load_queries
from orders.outbox.events import Event
from orders.outbox.models import Decision, HaltedKey, HeldEvent

log = structlog.get_logger(__name__)
queries = load_queries("orders.outbox", "halting")

RELEASED: Final = "released"
DROPPED: Final = "dropped"

Key = tuple[str, str]
"""Topic ("orders", "imports") and key."""


class KeyNotHalted(ApplicationError):
    code, status = "key_not_halted", 404
    message = "Nothing is held for {key} of {topic}."


class ReasonMissing(ApplicationError):
    code, status = "reason_missing", 400
    message = "Say why: it is kept with the decision."


def halted_keys() -> set[Key]:
    """Keys whose events are held."""
    return set(HaltedKey.objects.values_list("topic", "key"))


def halt(event: Event, *, reason: str) -> None:
    """
    Hold an event that was refused, and from now on all of its key. One that was refused before, and is still held,
    remains the one to decide about.

    Args:
        reason: what the client or the broker said.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(queries.halt, {**_named(event), "reason": reason})
        cursor.execute(queries.hold, _named(event))
    log.error("event_halted", topic=event.topic, key=event.key, event_id=event.id, reason=reason)


def hold(event: Event) -> bool:
    """Hold an event behind a halted one. False: its key is not halted any more, so send it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(queries.lock_halted, _named(event))
        if cursor.fetchone() is None:
            return False
        cursor.execute(queries.hold, _named(event))
    log.warning("event_held", topic=event.topic, key=event.key, event_id=event.id)
    return True


def key_release(*, topic: str, key: str, reason: str, by: str) -> None:
    """
    Let a relay send what is held of a key, beginning with the event that was refused.

    Args:
        by: who decided.
    Raises:
        KeyNotHalted, ReasonMissing
    """
    with transaction.atomic():
        halted = _halted(topic, key, reason)
        _decide(halted, RELEASED, event_id=halted.event_id, reason=reason, by=by)
    log.warning("key_released", topic=topic, key=key, reason=reason, by=by)


def event_drop(*, topic: str, key: str, reason: str, by: str) -> str:
    """
    Never send the event that was refused, and let a relay send what is held behind it.

    Args:
        by: who decided.
    Returns:
        the id of the event.
    Raises:
        KeyNotHalted, ReasonMissing
    """
    with transaction.atomic():
        halted = _halted(topic, key, reason)
        HeldEvent.objects.filter(topic=topic, key=key, event_id=halted.event_id).delete()
        _decide(halted, DROPPED, event_id=halted.event_id, reason=reason, by=by)
        _decide(halted, RELEASED, event_id="", reason=reason, by=by)
    log.warning("event_dropped", topic=topic, key=key, event_id=halted.event_id, reason=reason, by=by)
    return halted.event_id


def released_keys() -> list[Key]:
    """Halted keys that somebody has released since they were halted."""
    with connection.cursor() as cursor:
        cursor.execute(queries.released)
        return [(topic, key) for topic, key in cursor.fetchall()]


def send_held(key: Key, send: Callable[[Sequence[Event]], "Refusal | None"]) -> None:
    """
    Send what is held of a released key and let it go on; nothing when another relay is at it.

    Args:
        send: sends in order and returns when all is acknowledged, or the first that was refused.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        named = dict(zip(("topic", "key"), key, strict=True))
        cursor.execute(queries.lock_released, named)
        if cursor.fetchone() is None:
            return
        # By version: after a kill, one that waited already can have been read again behind a later one.
        events = [_event(row) for row in HeldEvent.objects.filter(**named).order_by("version", "id")]
        refusal = send(events)
        sent = events if refusal is None else events[: events.index(refusal.event)]
        HeldEvent.objects.filter(**named, event_id__in=[event.id for event in sent]).delete()
        if refusal is None:
            HaltedKey.objects.filter(**named).delete()
        else:
            cursor.execute(queries.halt_again, {**_named(refusal.event), "reason": refusal.reason})
    log.info("held_events_sent", topic=key[0], key=key[1], events=len(sent), halted_again=refusal is not None)


class Refusal:
    """The event of several that was refused, and why."""

    __slots__: ClassVar = ("event", "reason")

    def __init__(self, event: Event, reason: str) -> None:
        self.event, self.reason = event, reason


def _halted(topic: str, key: str, reason: str) -> HaltedKey:
    if not reason.strip():
        raise ReasonMissing
    halted = HaltedKey.objects.select_for_update().filter(topic=topic, key=key).first()
    if halted is None:
        raise KeyNotHalted(topic=topic, key=key)
    return halted


def _decide(halted: HaltedKey, decision: str, *, event_id: str, reason: str, by: str) -> None:
    Decision.objects.create(
        topic=halted.topic, key=halted.key, event_id=event_id, decision=decision, reason=reason.strip(), by=by
    )


def _named(event: Event) -> dict[str, Any]:
    return {**event._asdict(), "event_id": event.id}


def _event(row: HeldEvent) -> Event:
    return Event(
        topic="imports" if row.topic == "imports" else "orders",
        id=row.event_id,
        type=row.type,
        key=row.key,
        version=row.version or 1,
        partition_key=row.partition_key,
        placed_at=row.placed_at or row.held_at,
        time=_sent(row.time) if row.time else "",
        data=bytes(row.data),
    )


def _sent(time: datetime) -> str:
    """As it goes into `ce_time`; as the SQL of batches and expansions writes it."""
    return time.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
