"""What goes wrong without anybody noticing, found again: the sweeper's round."""

import structlog
from django.db import connection
from redis.exceptions import RedisError

from config.kernel.caching import settle_debts
from config.kernel.sql import load_queries
from ingestion import dispatch
from ingestion.clock import utc_now
from ingestion.services import import_fail
from ingestion.steps.claims import steps_waiting

log = structlog.get_logger(__name__)
queries = load_queries("ingestion", "steps")


def sweep() -> list[int]:
    """
    One round over the imports of the API: wake workers for what nobody works on, end what waits for bytes that will
    never come, tell Redis what it missed. May run many times at once, and runs nothing itself.

    Returns:
        ids of the imports that needed it.
    """
    failed = _fail_lost()
    waiting = steps_waiting()
    for import_id in waiting:
        dispatch.wake(import_id)
    for queue in _queues_stalled():
        dispatch.wake_workers(queue)
    try:
        settle_debts()
    except (RedisError, OSError) as error:
        log.warning("cache_debts_not_settled", error=str(error))
    return sorted({*failed, *waiting})


def _fail_lost() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(queries.uploads_lost)
        lost = cursor.fetchall()
    for import_id, state in lost:
        reason = f"Its upload is {state or 'gone'}; not all of its bytes arrived. Upload it again."
        import_fail(import_id=import_id, now=utc_now(), reason=reason)
    return [import_id for import_id, _ in lost]


def _queues_stalled() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(queries.queues_stalled)
        return [queue for (queue,) in cursor.fetchall()]
