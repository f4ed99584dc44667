"""Django's own way: `bulk_create(ignore_conflicts=True)` in batches of 5,000 records."""

import csv
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks.contenders.contender import Contender
from benchmarks.contenders.in_django import measured_module, timed_main

BATCH_RECORDS: Final = 5_000
Row = dict[str, str]


def bulk_create(*, records: int, rounds: int) -> Contender:
    """One process, one transaction a batch."""
    label = f"`bulk_create(ignore_conflicts=True)`, batches of {BATCH_RECORDS:,}"
    return Contender("bulk_create", label, measured_module(__name__), records, rounds)


def load(path: Path) -> None:
    """Load a file batch by batch."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        first = 1
        while batch := list(islice(reader, BATCH_RECORDS)):
            _load_batch(batch, first=first)
            first += len(batch)


def _load_batch(batch: list[Row], *, first: int) -> None:
    from django.db import transaction

    from accounts.models import User
    from orders.models import Item, Order, OrderLine

    users = {row["user_id"]: _user(row) for row in reversed(batch)}
    items = {row["sku"]: Item(sku=row["sku"], name=row["item_name"]) for row in reversed(batch)}
    orders = {row["order_id"]: _order(row) for row in reversed(batch)}
    with transaction.atomic():
        User.objects.bulk_create([User(**user) for user in users.values()], ignore_conflicts=True)
        Item.objects.bulk_create(items.values(), ignore_conflicts=True)
        Order.objects.bulk_create([Order(**order) for order in orders.values()], ignore_conflicts=True)
        OrderLine.objects.bulk_create([OrderLine(**line) for line in _lines(batch, first=first)], ignore_conflicts=True)


def _user(row: Row) -> dict[str, object]:
    return {"id": row["user_id"], "email": row["user_email"].lower(), "name": row["user_name"], "password": "!"}


def _order(row: Row) -> dict[str, object]:
    return {
        "id": row["order_id"],
        "user_id": row["user_id"],
        "ordered_at": datetime.fromisoformat(row["ordered_at"]),
        "country": row["country"],
        "currency": row["currency"],
    }


def _lines(batch: list[Row], *, first: int) -> Iterator[dict[str, object]]:
    for line_no, row in enumerate(batch, first):
        yield {
            "order_id": row["order_id"],
            "line_no": line_no,
            "item_id": row["sku"],
            "quantity": int(row["quantity"]),
            "unit_price": Decimal(row["unit_price"]),
        }


if __name__ == "__main__":
    timed_main(load)
