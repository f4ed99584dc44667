"""The books of an import: what its chunk rows add up to."""

from typing import Any, Final

from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from ingestion.models import Import

queries = load_queries("ingestion", "certify")

OUTCOMES: Final = ("loaded", "unchanged", "skipped", "rejected", "ignored", "unprocessed")


def read_books(cursor: CursorWrapper, *, owner: Import) -> dict[str, Any]:
    """Totals of an import from its chunk rows: records, bytes, outcomes, errors by code, ignored by reason, facts."""
    where = {"import_id": owner.pk}
    cursor.execute(queries.totals, where)
    chunks, records, length, unfinished, unfinished_chunks = cursor.fetchone()
    books: dict[str, Any] = {
        "chunks": chunks,
        "unfinished_chunks": unfinished_chunks,
        "records": int(records),
        "bytes": int(length),
    }
    for column in ("outcomes", "errors", "ignored", "facts"):
        cursor.execute(queries.sums.replace("{column}", column), where)
        books[column] = {name: int(number) for name, number in cursor.fetchall() if number}
    outcomes = dict.fromkeys(OUTCOMES, 0) | books["outcomes"]
    outcomes["unprocessed"] += int(unfinished)
    books["outcomes"] = outcomes
    return books
