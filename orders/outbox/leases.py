"""
Who relays which lane: leases that end by themselves, and epochs that find out who was late.

A relay claims lanes, renews its leases well before they end, and gives back what is more than its share. A relay that
was stopped past its lease finds out at its next write, because whoever took the lane raised its epoch. Nothing
depends on the session: PgBouncer may give every transaction another connection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from config.kernel.sql import load_queries
from orders.outbox.guard import halt_strangers
from orders.outbox.lanes import ALL_LANES

queries = load_queries("orders.outbox", "leases")


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to relay a lane, until somebody takes it with a higher epoch."""

    lane: int
    owner: str
    epoch: int


class LeaseLostError(Exception):
    """Somebody else has the lane by now: nothing was written, and nothing more of it may be sent."""

    def __init__(self, lanes: Sequence[int]) -> None:
        super().__init__(f"lanes {', '.join(map(str, lanes))} were taken by another relay")
        self.lanes = tuple(lanes)


def claim(owner: str, *, lanes: Sequence[int] = ALL_LANES, most: int, seconds: float) -> list[Lease]:
    """
    Take free lanes, up to a fair share: these lanes divided by the relays that are there for them, rounded up.

    Lanes whose database is not the one that they were read from are halted and not given (`guard`).

    Args:
        owner: name of this relay, unlike those of all others.
        lanes: among which to choose.
        most: it holds no more than so many lanes, those included that it holds already.
        seconds: how long the leases last.
    Returns:
        the new ones.
    """
    values: dict[str, Any] = {"owner": owner, "lanes": [*lanes], "seconds": seconds}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(queries.present, values)
        cursor.execute(queries.lock_lanes)
        halt_strangers(cursor)
        cursor.execute(queries.share, values)
        share = cursor.fetchone()[0]
        cursor.execute(queries.held, values)
        wanted = min(most, share) - cursor.fetchone()[0]
        if wanted <= 0:
            return []
        cursor.execute(queries.claim, {**values, "wanted": wanted})
        return sorted((Lease(lane, owner, epoch) for lane, epoch in cursor.fetchall()), key=lambda lease: lease.lane)


def fair_share(owner: str, *, lanes: Sequence[int] = ALL_LANES) -> int:
    """How many of these lanes this relay should hold at most; what is more than that it gives back (`release`)."""
    with connection.cursor() as cursor:
        cursor.execute(queries.share, {"owner": owner, "lanes": [*lanes]})
        return int(cursor.fetchone()[0])


def renew(leases: Sequence[Lease], *, seconds: float) -> None:
    """
    Hold lanes for longer, and say that this relay is there. A lease that has run out is renewed unless it was taken.

    Args:
        leases: of one relay; none: nothing happens.
        seconds: from now.
    Raises:
        LeaseLostError: some are lost; the others are renewed.
    """
    if not leases:
        return
    with connection.cursor() as cursor:
        cursor.execute(queries.present_still, {"owner": leases[0].owner, "seconds": seconds})
        cursor.execute(queries.renew, {**_named(leases), "seconds": seconds})
        kept = {lane for (lane,) in cursor.fetchall()}
    lost = [lease.lane for lease in leases if lease.lane not in kept]
    if lost:
        raise LeaseLostError(lost)


def release(leases: Sequence[Lease]) -> None:
    """Give lanes back, so that others need not wait until the leases end; those that were lost are left alone."""
    if leases:
        with connection.cursor() as cursor:
            cursor.execute(queries.release, _named(leases))


def depart(owner: str) -> None:
    """Give all lanes of this relay back and be counted no more."""
    with connection.cursor() as cursor:
        cursor.execute(queries.depart, {"owner": owner})
        cursor.execute(queries.absent_delete)


def _named(leases: Sequence[Lease]) -> dict[str, Any]:
    return {
        "owner": leases[0].owner,
        "lanes": [lease.lane for lease in leases],
        "epochs": [lease.epoch for lease in leases],
    }
