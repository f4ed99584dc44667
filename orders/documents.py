"""Orders and items as the API shows them, read in one statement each."""

import json
from typing import Any, Final

from django.db import connection

from config.kernel.api.keys import key_url
from config.kernel.sql import load_queries
from orders.models import Item

queries = load_queries("orders", "orders")

EMBEDDED_LINES: Final = 1_000
"""Lines inside an order; a longer one names the address of the others."""


def order_document(order_id: str) -> dict[str, Any] | None:
    """An order with its first lines; None: there is no such order."""
    with connection.cursor() as cursor:
        cursor.execute(queries.document, {"id": order_id, "lines": EMBEDDED_LINES + 1})
        row = cursor.fetchone()
    if row is None:
        return None
    names = ("id", "user_id", "status", "ordered_at", "country", "currency", "version", "import_id")
    header = dict(zip(names, row, strict=False))
    attributes, created_at, updated_at, lines = row[len(names) :]
    lines = lines or []
    return {
        **header,
        "attributes": None if attributes is None else json.loads(attributes),
        "created_at": created_at,
        "updated_at": updated_at,
        "lines": [line_document(*line) for line in lines[:EMBEDDED_LINES]],
        "lines_complete": len(lines) <= EMBEDDED_LINES,
        "lines_url": f"{key_url('/orders', order_id)}/lines",
    }


def line_document(line_no: int, sku: str, quantity: int, unit_price: str | None) -> dict[str, Any]:
    """One line of an order."""
    return {"line_no": line_no, "sku": sku, "quantity": quantity, "unit_price": unit_price}


def item_document(sku: str) -> dict[str, Any] | None:
    """An item; None: there is no such item."""
    item = Item.objects.filter(pk=sku).first()
    return None if item is None else describe_item(item)


def describe_item(item: Item) -> dict[str, Any]:
    """An item that was read already."""
    return {
        "sku": item.sku,
        "name": item.name,
        "list_price": None if item.list_price is None else f"{item.list_price:.4f}",
        "retired_at": item.retired_at,
        "import_id": item.import_id,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }
