"""What tests that kill things share: a messy file, what must not differ, and a way back to an empty database."""

import random
from pathlib import Path

from tests.flows.files import csv_text

HEADER = ("order_id", "user_id", "sku", "quantity", "line_no", "user_email", "item_name", "unit_price", "country")
DISAGREED = ("user_disagreements", "item_disagreements", "order_disagreements")
# Without `facts`: which of two chunks inserts an order that both touch, and which one continues it, is for the order of
# their merges to say. The sums are in the certificate.
CHUNKS = "SELECT number, records, outcomes, errors, ignored FROM ingestion_chunk ORDER BY number"
EMPTY = """
    ALTER TABLE orders_order DISABLE TRIGGER orders_order_truncate;
    ALTER TABLE orders_item DISABLE TRIGGER orders_item_truncate;
    TRUNCATE accounts_user, orders_item, orders_order, orders_orderline, outbox_entry, outbox_receipt,
        ingestion_import RESTART IDENTITY CASCADE;
    ALTER TABLE orders_order ENABLE ALWAYS TRIGGER orders_order_truncate;
    ALTER TABLE orders_item ENABLE ALWAYS TRIGGER orders_item_truncate;
"""


def messy_file(path: Path, *, records: int, seed: int) -> None:
    """Some MB with orders that span chunks, contested e-mails, several names of one item, and damage."""
    chance = random.Random(seed)
    made = []
    for number in range(records):
        order = number // 3 if chance.random() < 0.98 else chance.randrange(records // 3)
        made.append(
            (
                f"o{order}", f"u{order % 4000}", f"i{chance.randrange(900)}", "1" if number % 97 else "many",
                number if number % 11 else order % 7, f"mail{(order % 4000) * 31 % 3900}@example.com",
                f"A thing to sell, number {chance.randrange(1200)}", f"{number % 100}.50", "CH" if number % 5 else "DE",
            )
        )  # fmt: skip
    lines = csv_text(made, HEADER).splitlines(keepends=True)
    lines[len(lines) // 2] = 'o5,"never closed\n'
    lines[len(lines) // 3] = "o6,u6\n"
    path.write_text("".join(lines))
