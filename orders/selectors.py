"""
Reading orders, lines and items in pages.

A list of orders is made in one of two ways, whichever the planner's estimates call for. *Narrow*: an index on one of
the filters (user, import, a range of time) leaves so few rows that they can all be sorted. *Walking*: the rows are
looked through in the order of their ids, page by page, for a bounded time (`config.kernel.api.pagination`). So no
request reads the whole table, whatever it filters by.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import F, Func, Q, QuerySet

from config.kernel.keyset import Keyset
from orders.access import Access
from orders.caching import Rendered, order_rendered
from orders.errors import OrderNotFoundError, TooManyToSortError
from orders.models import Item, Order, OrderLine

NARROW_ROWS: Final = 100_000
INDEXED: Final = (
    ("user_id",),
    ("import_id",),
    ("created_at__gte", "created_at__lt"),
    ("ordered_at__gte", "ordered_at__lt"),
)
ORDERINGS: Final[dict[str, Sequence[str]]] = {
    "id": ("id",),
    "-id": ("-id",),
    "created_at": ("created_at", "id"),
    "-created_at": ("-created_at", "-id"),
    "ordered_at": ("ordered_at", "id"),
    "-ordered_at": ("-ordered_at", "-id"),
}


@dataclass(frozen=True)
class OrderList:
    """
    How to page through orders.

    Args:
        rows: those that match.
        columns: what to sort them by.
        walked: the rows to walk over; None: `rows` are few.
    """

    rows: QuerySet[Order]
    columns: Sequence[str]
    walked: QuerySet[Order] | None


def orders_list(filters: Mapping[str, Any], access: Access, *, ordering: str) -> OrderList:
    """
    Orders that somebody may see.

    Args:
        filters: of Django, by columns of Order.
        ordering: one of ORDERINGS; by `ordered_at`, orders without it are left out.
    Raises:
        TooManyToSortError: there is no way to sort so many.
    """
    rows, columns = orders_seen(access).filter(**filters), ORDERINGS[ordering]
    by_id = columns[-1] == columns[0]
    if by_id and not filters and access.reads is None:
        return OrderList(rows, columns, walked=None)
    own = {"user_id": access.user_id} if access.reads == frozenset() else {}
    fewest = _fewest_rows({**filters, **own})
    if fewest <= NARROW_ROWS and by_id:
        return OrderList(_sortable(rows), [columns[0].replace("id", "sort_key")], walked=None)
    if by_id:
        return OrderList(rows, columns, walked=Order.objects.all())
    if fewest > NARROW_ROWS:
        raise TooManyToSortError(rows=fewest, limit=NARROW_ROWS, ordering=ordering)
    return OrderList(rows.filter(ordered_at__isnull=False) if "ordered_at" in ordering else rows, columns, walked=None)


def _sortable(rows: QuerySet[Order]) -> QuerySet[Order]:
    """With a key to sort by that has no index, or the planner may hope to meet few rows soon on the primary key."""
    key = Func(F("id"), template="(%(expressions)s || '')", output_field=Order._meta.get_field("id"))
    return rows.annotate(sort_key=key)


def _fewest_rows(filters: Mapping[str, Any]) -> int:
    """How many rows the best index leaves, as the planner estimates."""
    chosen = [{name: filters[name] for name in names if name in filters} for names in INDEXED]
    return min(_estimate(Order.objects.filter(**conditions)) for conditions in (*filter(None, chosen), {}))


def _estimate(rows: QuerySet[Order]) -> int:
    return int(json.loads(rows.explain(format="json"))[0]["Plan"]["Plan Rows"])


def order_seen(order_id: str, access: Access) -> Rendered:
    """
    An order that somebody may see.

    Raises:
        OrderNotFoundError: there is none, or not for them.
    """
    found = order_rendered(order_id)
    if found is None or not access.may_read(country=found.country, user_id=found.user_id):
        raise OrderNotFoundError(order_id=order_id)
    return found


def orders_seen(access: Access) -> QuerySet[Order]:
    """All orders that somebody may see."""
    if access.reads is None:
        return Order.objects.all()
    if not access.reads:
        return Order.objects.filter(user_id=access.user_id)
    return Order.objects.filter(Q(country__in=sorted(access.reads)) | Q(user_id=access.user_id))


def orders_first(
    rows: QuerySet[Order], indexed: Mapping[str, Any], *, few: bool, descending: bool, wanted: int
) -> tuple[list[str], bool]:
    """
    Ids of the first orders that match, by id.

    Args:
        indexed: those of the filters that an index serves (see `INDEXED`).
        few: `rows` names its orders one by one.
        wanted: at most so many.
    Returns:
        the ids, and whether these are all.
    """
    column = "-id" if descending else "id"
    if few or _fewest_rows(indexed) <= NARROW_ROWS:
        rows, column = _sortable(rows), column.replace("id", "sort_key")
        found, stopped = Keyset([column]).read(rows, wanted=wanted + 1)
    else:
        found, stopped = Keyset([column]).read(rows, wanted=wanted + 1, walked=Order.objects.all())
    return [order.id for order in found[:wanted]], stopped is None and len(found) <= wanted


def orders_named(text: str, at_most: int) -> list[str]:
    """Ids that begin with a text, and of the orders of the user with this id."""
    if "\x00" in text:
        return []
    beginning = Order.objects.filter(pk__startswith=text).order_by("pk").values_list("pk", flat=True)
    of_user = Order.objects.filter(user_id=text).values_list("pk", flat=True)
    return [*beginning[:at_most], *of_user[:at_most]]


def item_named(text: str) -> Q:
    """Items whose sku begins with a text, or whose name contains it."""
    return Q(pk__startswith=text) | Q(name__icontains=text)


def order_lines(order_id: str) -> QuerySet[OrderLine]:
    """All lines of an order."""
    return OrderLine.objects.filter(order_id=order_id)


def items(filters: Mapping[str, Any]) -> QuerySet[Item]:
    """Items; `retired`: "true" or "false"."""
    retired = filters.get("retired")
    return Item.objects.all() if retired is None else Item.objects.filter(retired_at__isnull=retired == "false")
