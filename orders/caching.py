"""
Orders and items by id in the cache: the bytes of the answer, behind what is needed to know who may have them.

A value is one line `version U+001F country U+001F user id`, then the JSON. None of the three can hold a control
character.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from rest_framework.renderers import JSONRenderer

from config.kernel.caching import cached, mark_changed
from orders.documents import item_document, order_document

ORDER: Final = "order"
ITEM: Final = "item"
SEPARATOR: Final = "\x1f"


@dataclass(frozen=True, slots=True)
class Rendered:
    """The body of an answer, its version, and whose order it is."""

    version: str
    country: str
    user_id: str | None
    body: bytes


def render(document: dict[str, Any]) -> bytes:
    """JSON as DRF writes it."""
    return bytes(JSONRenderer().render(document))


def parse(value: bytes) -> Rendered:
    """Read what the cache holds of an order or item."""
    head, _, body = value.partition(b"\n")
    version, country, user_id = head.decode().split(SEPARATOR)
    return Rendered(version, country, user_id or None, body)


def order_rendered(order_id: str) -> Rendered | None:
    """An order, from the cache or from Postgres; None: there is none."""
    value = cached(ORDER, order_id, lambda: load_order(order_id))
    return None if value is None else parse(value)


def item_rendered(sku: str) -> Rendered | None:
    """An item, from the cache or from Postgres; None: there is none. Its version is made of its content."""
    value = cached(ITEM, sku, lambda: load_item(sku))
    return None if value is None else parse(value)


def load_order(order_id: str) -> bytes | None:
    """What the cache is to hold of an order."""
    document = order_document(order_id)
    if document is None:
        return None
    head = SEPARATOR.join((str(document["version"]), document["country"], document["user_id"] or ""))
    return head.encode() + b"\n" + render(document)


def load_item(sku: str) -> bytes | None:
    """What the cache is to hold of an item."""
    document = item_document(sku)
    if document is None:
        return None
    return f"{item_version(document)}{SEPARATOR}{SEPARATOR}\n".encode() + render(document)


def item_version(document: dict[str, Any]) -> str:
    """Items have no version of their own, so their ETag is a digest of what is shown."""
    return hashlib.sha256(render(document)).hexdigest()[:16]


def orders_changed(ids: Iterable[str]) -> None:
    """Say that orders are about to change: the last thing in the transaction that changes them."""
    mark_changed(ORDER, ids)


def items_changed(skus: Iterable[str]) -> None:
    """Say that items are about to change: the last thing in the transaction that changes them."""
    mark_changed(ITEM, skus)
