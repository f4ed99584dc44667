"""How far the outbox has got: for metrics, the admin, back-pressure and the pages of imports."""

from django.db import connection

from config.kernel.sql import load_queries

queries = load_queries("orders.outbox", "selectors")


def entries_kept() -> int:
    """Entries of the table, about: a rolled back transaction leaves a gap in their numbers, nothing more."""
    with connection.cursor() as cursor:
        cursor.execute(queries.entries_kept)
        return int(cursor.fetchone()[0])
