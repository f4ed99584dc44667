"""
Lanes that stand still because something in them cannot be read: a payload that is damaged, say.

The other lanes go on. Somebody looks, mends the cause and lets the lane go on where it was, or without the entry.
"""

import structlog
from django.db import connection, transaction

from config.kernel.errors import ApplicationError
from config.kernel.sql import load_queries
from orders.outbox.halting import ReasonMissing
from orders.outbox.leases import Lease, LeaseLostError
from orders.outbox.models import Decision

log = structlog.get_logger(__name__)
queries = load_queries("orders.outbox", "halted_lanes")

TOPIC = "lane"
"""Under which decisions about lanes are kept, with the lane as key."""
RESUMED = "resumed"
SKIPPED = "skipped"


class LaneNotHalted(ApplicationError):
    code, status = "lane_not_halted", 404
    message = "Lane {lane} is not halted."


class EntryNotNext(ApplicationError):
    code, status = "entry_not_next", 409
    message = "Lane {lane} is not halted before entry {entry}."


def halt_lane(lease: Lease, reason: str) -> None:
    """
    Give a lane to nobody until somebody decides.

    Raises:
        LeaseLostError: somebody else has it, and will find out as well.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            queries.halt, {"lane": lease.lane, "owner": lease.owner, "epoch": lease.epoch, "reason": reason[:2_000]}
        )
        if cursor.rowcount != 1:
            raise LeaseLostError([lease.lane])
    log.error("lane_halted", lane=lease.lane, reason=reason)


def lane_resume(*, lane: int, reason: str, by: str) -> None:
    """
    Let a lane go on where it was saved.

    Args:
        by: who decided.
    Raises:
        LaneNotHalted, ReasonMissing
    """
    _decide(queries.resume, LaneNotHalted(lane=lane), RESUMED, lane=lane, entry=None, reason=reason, by=by)


def entry_skip(*, lane: int, entry: int, reason: str, by: str) -> None:
    """
    Let a lane go on behind an entry that cannot be read. What of it was not sent is not; its receipt stays open.

    Args:
        entry: its id, which must come next.
        by: who decided.
    Raises:
        EntryNotNext, ReasonMissing
    """
    _decide(queries.skip, EntryNotNext(lane=lane, entry=entry), SKIPPED, lane=lane, entry=entry, reason=reason, by=by)


def _decide(
    query: str, otherwise: ApplicationError, decision: str, *, lane: int, entry: int | None, reason: str, by: str
) -> None:
    if not reason.strip():
        raise ReasonMissing
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(query, {"lane": lane, "entry": entry})
        if cursor.rowcount != 1:
            raise otherwise
        Decision.objects.create(
            topic=TOPIC,
            key=str(lane),
            event_id="" if entry is None else f"entry:{entry}",
            decision=decision,
            reason=reason.strip(),
            by=by,
        )
    log.warning("lane_goes_on", lane=lane, decision=decision, entry=entry, reason=reason, by=by)
