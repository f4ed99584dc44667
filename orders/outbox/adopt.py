"""Going on in a database that was restored from a copy: see `guard`."""

from dataclasses import dataclass

import structlog
from django.db import connection, transaction

from orders.outbox.guard import queries

log = structlog.get_logger(__name__)


class RelaysRunningError(Exception):
    """Relays hold lanes: adopting under them would make them lose count. Stop them first."""

    def __init__(self, owners: list[str]) -> None:
        super().__init__(f"Stop these relays first: {', '.join(owners)}.")
        self.owners = owners


@dataclass(frozen=True)
class Adoption:
    """What is sent again, or for the first time: entries, and the events in them."""

    entries: int
    events: int


def adopt_database() -> Adoption:
    """
    Make this database the one that the lanes are read from.

    What is known to be acknowledged stays so. All else is sent, with the same ids as before if it was sent already. The
    only time that entries are updated; with many of them it takes a while.

    Raises:
        RelaysRunningError: somebody relays.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        # Before this transaction has an id of its own, so that the snapshot does not contain it.
        cursor.execute(queries.snapshot)
        (snapshot,) = cursor.fetchone()
        cursor.execute(queries.lanes_lock)
        cursor.execute(queries.relays_running)
        owners = [owner for (owner,) in cursor.fetchall()]
        if owners:
            raise RelaysRunningError(owners)
        cursor.execute(queries.restamp)
        cursor.execute(queries.unsent)
        entries, events = cursor.fetchone()
        cursor.execute(queries.receipts_reopen)
        cursor.execute(queries.settle, {"snapshot": snapshot})
    log.warning("database_adopted", entries=entries, events=events)
    return Adoption(entries=entries, events=int(events))
