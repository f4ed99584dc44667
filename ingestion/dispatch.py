"""
Wake-ups: messages that tell a worker to look into the database. They carry no truth, may be lost, late or doubled.

Services call `wake` and know neither the broker nor the tasks: a message is sent by the actor's name, after commit. A
Redis that is away costs a process one time-out in `BREAK_SECONDS`; what was not told is found by the sweeper and by the
workers themselves.
"""

import time
from typing import Any, Final

import dramatiq
import structlog
from django.db import DatabaseError, InterfaceError, transaction
from dramatiq.errors import DramatiqError
from redis.exceptions import RedisError

from ingestion.models import Import

log = structlog.get_logger(__name__)

STEPS: Final = "steps"
SMALL: Final = "small"
LARGE: Final = "large"
ACTOR_OF: Final = {STEPS: "steps_do", SMALL: "chunks_do_small", LARGE: "chunks_do_large"}
BREAK_SECONDS: Final = 5.0

_silent_until = 0.0


def wake(import_id: int) -> None:
    """
    Somebody should look after this import: after the current transaction, if there is one. Never raises.
    """
    transaction.on_commit(lambda: _wake(import_id), robust=True)


def wake_workers(queue: str) -> None:
    """Somebody should look for chunks of this queue; nothing is sent while a message waits already. Never raises."""
    if queue in (SMALL, LARGE) and not _one_waits(queue):
        _send(queue)


def _wake(import_id: int) -> None:
    _send(STEPS, import_id=import_id)
    try:
        queue = Import.objects.filter(pk=import_id).values_list("queue", flat=True).first()
    except (DatabaseError, InterfaceError):
        return
    wake_workers(queue or "")


def _send(queue: str, **data: Any) -> None:
    global _silent_until
    if time.monotonic() < _silent_until:
        return
    message: dramatiq.Message[Any] = dramatiq.Message(
        queue_name=queue, actor_name=ACTOR_OF[queue], args=(), kwargs=data, options={}
    )
    try:
        dramatiq.get_broker().enqueue(message)
    except (RedisError, DramatiqError, OSError) as error:
        _silent_until = time.monotonic() + BREAK_SECONDS
        log.warning("wake_up_not_sent", queue=queue, error=str(error), silent_seconds=BREAK_SECONDS)


def _one_waits(queue: str) -> bool:
    """Whether a message of the queue has not been fetched yet: whoever fetches it does the same as for ours."""
    global _silent_until
    if time.monotonic() < _silent_until:
        return True
    waiting = getattr(dramatiq.get_broker(), "waiting", None)
    try:
        return waiting is not None and waiting(queue) > 0
    except (RedisError, OSError) as error:
        _silent_until = time.monotonic() + BREAK_SECONDS
        log.warning("wake_up_not_sent", queue=queue, error=str(error), silent_seconds=BREAK_SECONDS)
        return True
