"""The sums that reports should show, computed straight from the orders, beside those that they do show."""

from typing import Any, Final

SUMS: Final = {
    "reports_day": "day, currency",
    "reports_country": "country, currency, day",
    "reports_user": "user_id, currency, day, country",
    "reports_item": "sku, currency, day",
}
# Written for these tests, in another way than `manage.py rebuild_reports` does it.
DIRECT: Final = """
WITH lines AS (
    SELECT (coalesce(o.ordered_at, o.created_at) AT TIME ZONE 'UTC')::date AS day, o.id AS order_id, o.country,
           o.currency, o.user_id, l.item_id AS sku, o.status = 'cancelled' AS is_cancelled,
           coalesce(l.quantity, 0) AS quantity, coalesce(l.quantity * l.unit_price, 0) AS revenue
    FROM orders_order o LEFT JOIN orders_orderline l ON l.order_id = o.id
)
SELECT {key}, count(DISTINCT order_id) FILTER (WHERE NOT is_cancelled),
       count(DISTINCT order_id) FILTER (WHERE is_cancelled),
       coalesce(sum(quantity) FILTER (WHERE NOT is_cancelled), 0)::bigint,
       coalesce(sum(revenue) FILTER (WHERE NOT is_cancelled), 0)::numeric(38, 4)
FROM lines WHERE {condition} GROUP BY {key}
"""
STORED: Final = """
SELECT {key}, orders, cancelled, quantity, revenue FROM {table}
WHERE (orders, cancelled, quantity, revenue) <> (0, 0, 0, 0)
"""
CONDITIONS: Final = {"reports_user": "user_id IS NOT NULL", "reports_item": "sku IS NOT NULL"}

Sums = dict[str, set[tuple[Any, ...]]]


def direct_sums(cursor: Any) -> Sums:
    """Table → its rows, as they should be."""
    return {
        table: _rows(cursor, DIRECT.format(key=key, condition=CONDITIONS.get(table, "true")))
        for table, key in SUMS.items()
    }


def stored_sums(cursor: Any) -> Sums:
    """Table → its rows, as they are; rows of zeros are left out."""
    return {table: _rows(cursor, STORED.format(key=key, table=table)) for table, key in SUMS.items()}


def _rows(cursor: Any, query: str) -> set[tuple[Any, ...]]:
    cursor.execute(query)
    return set(cursor.fetchall())
