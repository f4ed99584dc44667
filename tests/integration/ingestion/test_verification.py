"""Whatever is altered behind everybody's back, the check finds it, whether the file is still there or not."""

from __future__ import annotations

import pytest
from django.db import connection

from ingestion.verification import import_verify
from tests.integration.ingestion.driving import Driver, Schedule, csv_bytes

HEADER = ("order_id", "user_id", "sku", "quantity", "unit_price", "country", "ordered_at")
ALTERATIONS = {
    "a quantity": "UPDATE orders_orderline SET quantity = 9 WHERE order_id = 'o3' AND line_no = 7",
    "a price": "UPDATE orders_orderline SET unit_price = NULL WHERE order_id = 'o3' AND line_no = 7",
    "a line is gone": "DELETE FROM orders_orderline WHERE order_id = 'o3' AND line_no = 7",
    "a line too many": """INSERT INTO orders_orderline (order_id, line_no, item_id, quantity, import_id)
                          SELECT order_id, 41, item_id, 1, import_id FROM orders_orderline
                          WHERE order_id = 'o3' AND line_no = 7""",
    "a user of an order": "UPDATE orders_order SET user_id = 'u1' WHERE id = 'o3'",
    "a country": "UPDATE orders_order SET country = 'DE' WHERE id = 'o3'",
    "a time": "UPDATE orders_order SET ordered_at = ordered_at + interval '1 day' WHERE id = 'o3'",
    "attributes": "UPDATE orders_order SET attributes = '{\"a\": 1}' WHERE id = 'o3'",
    "a reject is gone": "DELETE FROM ingestion_reject",
    "a reject's code": "UPDATE ingestion_reject SET code = 'required'",
    "the certificate": "UPDATE ingestion_import SET certificate = jsonb_set(certificate, '{loaded}', '41')",
    "a chunk's outcomes": """UPDATE ingestion_chunk SET outcomes = '{"loaded": 39, "rejected": 2}'""",
    "a chunk is gone": "DELETE FROM ingestion_chunk WHERE number = 0",
    "the signature": "UPDATE ingestion_import SET signature = 'x' || signature",
}


ALTERED = ("orders_order", "orders_orderline", "ingestion_reject", "ingestion_chunk", "ingestion_import")


def file() -> bytes:
    rows: list[tuple[object, ...]] = [
        (f"o{number}", f"u{number % 5}", f"i{line}", 1, "2.50", "CH", "2025-01-31T08:00:00Z")
        for number in range(20)
        for line in (1, 2)
    ]
    return csv_bytes([*rows, ("o3", "u3", "i1", "many", "1", "CH", "")], HEADER)


@pytest.mark.parametrize("source", ["there", "gone"])
def test_alteration_is_found(driver: Driver, source: str) -> None:
    certificate = driver.load(file(), schedule=Schedule(target_bytes=400))
    assert (certificate["loaded"], certificate["rejected"]) == (40, 1)
    if source == "gone":
        driver.paths[0].unlink()
    untouched = import_verify(import_id=1)
    assert untouched.balanced, untouched.problems
    missed = []
    for what, statement in ALTERATIONS.items():
        with connection.cursor() as cursor:
            for table in ALTERED:
                cursor.execute(f"CREATE TABLE kept_{table} AS TABLE {table}")
            cursor.execute(statement)
            if import_verify(import_id=1).balanced:
                missed.append(what)
            cursor.execute("SET session_replication_role = replica")
            for table in ALTERED:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                cursor.execute(f"DELETE FROM {table}")
                cursor.execute(f"INSERT INTO {table} TABLE kept_{table}")
                cursor.execute(f"DROP TABLE kept_{table}")
            cursor.execute("SET session_replication_role = origin")
    assert missed == []
    assert import_verify(import_id=1).balanced
