"""The merge's quick digest is that of the rows in the database, whatever stands in them."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from ingestion.digests import line_digests, order_digests
from ingestion.stages.certify import chunk_expectations
from tests.integration.ingestion.driving import Driver, Schedule, csv_bytes

HEADER = ("order_id", "user_id", "sku", "quantity", "unit_price", "ordered_at", "country")
WEIRD = [
    ("a\\b", "u\\N", "\\N", 1, "", "2025-01-31T08:00:00Z", "Côte d'Ivoire"),
    ("\\.", "u\\t", "\\t", 2, "0.1", "2025-01-31T08:00:00.5Z", ""),
    ('q"uote', "ü€😀", "漢字", 3, "123456789.1234", "1999-12-31T23:59:59.000001Z", "\\"),
    ("comma,tab", "e\u0301", ";", 4, "1", "", "CH"),
    ("Z", "z", "Z", 5, "0", "2025-06-01T00:00:00.120000+02:00", "ch"),
    ("a", "A", "z", 6, "10.10", "1970-01-01T00:00:00Z", "DE"),
]


@pytest.mark.parametrize("target_bytes", [10, 1 << 20])
def test_digest_of_the_merge_is_that_of_the_database(driver: Driver, target_bytes: int) -> None:
    certificate = driver.load(csv_bytes(WEIRD, HEADER), schedule=Schedule(target_bytes=target_bytes))
    assert certificate["loaded"] == len(WEIRD), certificate["errors"]
    with transaction.atomic(), connection.cursor() as cursor:
        bounds, chunks = chunk_expectations(cursor, import_id=1)
        orders = order_digests(cursor, import_id=1)
        lines = line_digests(cursor, import_id=1, line_base=0, bounds=bounds, changed_ids=set())
    told = {number: chunk["digests"] for number, chunk in chunks.items()}
    assert told == {number: {"orders": orders.digests[number], "lines": lines.digests[number]} for number in told}
