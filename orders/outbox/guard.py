"""
Guarding against a restored database.

Positions are snapshots, which mean something in the cluster that took them only. In a copy that was restored
elsewhere (pg_dump, a new cluster) transaction ids begin anew, and new entries would look as if they had been sent
long ago. So each lane knows the system identifier of its cluster; with another one, or with a snapshot ahead of the
current transaction, it is halted until somebody says how to go on (`adopt`).
"""

from typing import Final

import structlog
from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries

log = structlog.get_logger(__name__)
queries = load_queries("orders.outbox", "guard")

WAY_ON: Final = (
    "Stop whatever still relays the database that this one was copied from, then run `manage.py relay_outbox "
    "--adopt-database`: what is not known to be acknowledged is sent again under the same ids."
)
OTHER_CLUSTER: Final = f"This lane was last read in another database cluster. {WAY_ON}"
AHEAD: Final = f"This lane was last read at a transaction that this database has not reached. {WAY_ON}"


def halt_strangers(cursor: CursorWrapper) -> None:
    """Halt lanes that were read from another database than this one; their owners lose them."""
    cursor.execute(queries.strangers, {"other_cluster": OTHER_CLUSTER, "ahead": AHEAD})
    for lane, reason in cursor.fetchall():
        log.error("lane_halted", lane=lane, reason=reason)
