"""Reading orders, lines and items in pages."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet

from orders.access import Access
from orders.caching import Rendered, order_rendered
from orders.errors import OrderNotFoundError
from orders.models import Item, Order, OrderLine


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


def order_lines(order_id: str) -> QuerySet[OrderLine]:
    """All lines of an order."""
    return OrderLine.objects.filter(order_id=order_id)


def items(filters: Mapping[str, Any]) -> QuerySet[Item]:
    """Items; `retired`: "true" or "false"."""
    retired = filters.get("retired")
    return Item.objects.all() if retired is None else Item.objects.filter(retired_at__isnull=retired == "false")
