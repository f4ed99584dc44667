"""Files for commands to load, and questions to the database they loaded them into."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

HEADER = ("order_id", "user_id", "sku", "quantity")
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
ONLINE_RETAIL = SHARED / "OnlineRetail.csv.gz"

LOADED = {
    "users": "SELECT id, email, name, age, country FROM accounts_user ORDER BY id",
    "items": "SELECT sku, name FROM orders_item ORDER BY sku",
    "orders": """SELECT id, user_id, status, ordered_at, country, currency, attributes, import_id, import_record
                 FROM orders_order ORDER BY id""",
    "lines": "SELECT order_id, line_no, item_id, quantity, unit_price, record FROM orders_orderline ORDER BY 1, 2",
    "rejects": """SELECT record, position, code, message, column_number, column_name, value, length, raw::text
                  FROM ingestion_reject ORDER BY import_id, record, position""",
}
COUNTS = (
    "records", "loaded", "unchanged", "skipped", "rejected", "ignored", "unprocessed", "ignored_reasons", "errors",
    "users_inserted", "users_updated", "items_inserted", "items_updated", "orders_inserted", "orders_updated",
    "orders_continued", "lines_inserted", "lines_updated", "lines_deleted",
)  # fmt: skip


def csv_text(rows: Iterable[Sequence[object]], header: Sequence[str] = HEADER) -> str:
    """A CSV as a spreadsheet would write it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def certificate_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The certificate that a command with --json printed, and nothing else on standard output."""
    assert "Traceback" not in done.stderr, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def counts_of(certificate: dict[str, Any]) -> dict[str, Any]:
    """What of a certificate tells records and rows."""
    return {name: certificate[name] for name in COUNTS}


def query(connect: Callable[[], Any], statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of a query."""
    with contextlib.closing(connect()) as server, server.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def execute(connect: Callable[[], Any], statement: str, *parameters: Any) -> None:
    """A statement without an answer."""
    with contextlib.closing(connect()) as server, server.cursor() as cursor:
        cursor.execute(statement, parameters or None)


def loaded(connect: Callable[[], Any]) -> dict[str, list[tuple[Any, ...]]]:
    """All that imports put there."""
    return {name: query(connect, statement) for name, statement in LOADED.items()}
