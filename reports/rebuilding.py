"""
Making the reports again from the orders in Postgres, beside consumers that run.

All is one transaction that first takes `reports_order` from the consumers, who wait in place. The orders are read by
one statement that begins after that. An event that a consumer had applied was committed as an order before, so this
statement sees that version or a later one; and every event that comes later either tells of a version that it saw, and
has no effect, or of a newer one, and has its usual effect. Readers see the old sums until the end.
"""

import time
from collections.abc import Callable
from typing import Final

from django.db import connection, transaction

from config.kernel.sql import load_queries

queries: Final = load_queries("reports", "rebuild")

STEPS: Final = (
    ("orders", queries.rebuild_orders),
    ("orders that are gone", queries.rebuild_orders_gone),
    ("totals of orders", queries.rebuild_totals),
    ("days", queries.rebuild_days),
    ("countries", queries.rebuild_countries),
    ("users", queries.rebuild_users),
    ("totals of orders, dropped", queries.rebuild_totals_end),
    ("items", queries.rebuild_items),
)


def rebuild(*, show: Callable[[str, int, float], None] = lambda *_: None) -> None:
    """
    Let the reports say what the orders add up to.

    Args:
        show: told after each step: its name, the rows that it wrote, and the seconds it took.
    Raises:
        django.db.Error: nothing was changed.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(queries.rebuild_hold)
        for name, query in STEPS:
            started = time.perf_counter()
            cursor.execute(query)
            show(name, max(0, cursor.rowcount), time.perf_counter() - started)
