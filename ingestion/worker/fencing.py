"""What makes a commit safe: the import still runs, and the chunk is still ours."""

import json
from typing import Any

from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from ingestion.job import Claim
from ingestion.queue import ImportStoppedError, LeaseLostError
from ingestion.states import RUNNING

queue_sql = load_queries("ingestion", "queue")


def hold_import(cursor: CursorWrapper, *, import_id: int) -> None:
    """
    Hold the import row until the transaction ends: after a pause or a cancel nothing commits.

    Raises:
        ImportStoppedError: it is not running.
    """
    cursor.execute(queue_sql.import_lock, {"import_id": import_id})
    if cursor.fetchone()[0] != RUNNING:
        raise ImportStoppedError


def compare_and_set(cursor: CursorWrapper, query: str, *, claim: Claim, values: dict[str, Any]) -> None:
    """
    Run an update of the chunk's row that compares the fencing token.

    Raises:
        LeaseLostError: somebody else has the chunk.
    """
    cursor.execute(query, {"id": claim.id, "token": claim.token, **values})
    if cursor.rowcount != 1:
        raise LeaseLostError


def as_json(value: Any) -> str:
    """For a jsonb parameter."""
    return json.dumps(value, ensure_ascii=False)
