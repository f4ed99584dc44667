"""Write entries on plain connections, as many transactions at once as a test wishes."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from orders.events import PLACED
from orders.outbox.append import EVENTS, queries

NOW = datetime(2026, 3, 4, tzinfo=UTC)


def write(cursor: Any, key: str, version: int = 1, *, data: str = "{}") -> None:
    """One event of an order, on a cursor of psycopg2."""
    parameters = {
        "key": key, "version": version, "partition_key": key, "placed_at": NOW, "time": "2026-03-04T00:00:00Z",
        "data": data, "kind": "order", "type": PLACED, "source": "test",
    }  # fmt: skip
    cursor.execute(queries.selected.replace(EVENTS, queries.given), parameters)


def write_all(connection: Any, keys: Iterable[str]) -> None:
    """One event of each order in one transaction of its own."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        for key in keys:
            write(cursor, key)
        cursor.execute("COMMIT")
