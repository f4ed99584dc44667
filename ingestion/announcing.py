"""Telling others how an import ended, in the transaction that ends it."""

import json
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final

from django.db.backends.utils import CursorWrapper

from ingestion import states
from ingestion.books import read_books
from ingestion.models import Import, Source
from orders.outbox.append import append_given
from orders.outbox.events import IMPORTS, Event

COMPLETED: Final = "com.sluice.import.completed.v1"
FAILED: Final = "com.sluice.import.failed.v1"
TYPES: Final = {states.COMPLETED: COMPLETED, states.COMPLETED_WITH_REJECTS: COMPLETED, states.FAILED: FAILED}
"""By state. Cancelling tells nothing: who cancels knows."""


def announce_end(cursor: CursorWrapper, *, owner: Import) -> None:
    """
    Tell that an import has ended; nothing is told of a cancelled one or of a dry run.

    Args:
        owner: its row, locked, with the state in which this transaction leaves it.
    """
    if owner.dry_run or owner.state not in TYPES or owner.ended_at is None:
        return
    event = Event(
        topic=IMPORTS,
        id=f"import:{owner.pk}:{owner.state}",
        type=TYPES[owner.state],
        key=str(owner.pk),
        version=1,
        partition_key=str(owner.pk),
        placed_at=owner.ended_at,
        time=_text(owner.ended_at),
        data=json.dumps(_data(cursor, owner), ensure_ascii=False, separators=(",", ":")).encode(),
    )
    append_given(cursor, event=event, kind="import", source=f"import:{owner.pk}")


def _data(cursor: CursorWrapper, owner: Import) -> dict[str, Any]:
    books = read_books(cursor, owner=owner)
    names = Source.objects.filter(owner=owner).order_by("number").values_list("name", flat=True)
    return {
        "import_id": owner.pk,
        "state": owner.state,
        "reason": owner.reason,
        # Without the directories of the machine that loaded it.
        "file": ", ".join(PurePosixPath(name).name or name for name in names),
        "records": books["records"],
        "counts": books["outcomes"],
        "errors": books["errors"],
        "parent_id": owner.parent_id,
        "started_at": None if owner.started_at is None else _text(owner.started_at),
        "ended_at": None if owner.ended_at is None else _text(owner.ended_at),
    }


def _text(moment: datetime) -> str:
    """In UTC, as events of orders have it."""
    return moment.isoformat().replace("+00:00", "Z")
