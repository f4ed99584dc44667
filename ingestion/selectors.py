"""Reads of imports: progress, examples of rejects."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection

from config.kernel.sql import load_queries
from ingestion.models import Import

queries = load_queries("ingestion", "progress")


@dataclass(frozen=True)
class Progress:
    """
    How far an import is. Bytes and records of finished chunks; `bytes_total` is None until all is planned.
    `slowed_since`: since when it waits between chunks for the outbox; None: it does not.
    """

    state: str
    chunks_done: int
    chunks_planned: int
    bytes_done: int
    bytes_planned: int
    bytes_total: int | None
    records_done: int
    outcomes: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    slowed_since: datetime | None = None


def import_progress(*, import_id: int) -> Progress:
    """Progress from the chunk rows."""
    owner = Import.objects.only("state", "planned_at", "slowed_since").get(pk=import_id)
    with connection.cursor() as cursor:
        cursor.execute(queries.progress, {"import_id": import_id})
        done, planned, bytes_done, bytes_planned, records_done = (int(value) for value in cursor.fetchone())
        cursor.execute(queries.counters, {"import_id": import_id})
        counters: dict[str, dict[str, int]] = {"outcomes": {}, "errors": {}}
        for kind, name, number in cursor.fetchall():
            counters[kind][name] = int(number)
    return Progress(
        state=owner.state,
        chunks_done=done,
        chunks_planned=planned,
        bytes_done=bytes_done,
        bytes_planned=bytes_planned,
        bytes_total=bytes_planned if owner.planned_at else None,
        records_done=records_done,
        outcomes=counters["outcomes"],
        errors=dict(sorted(counters["errors"].items(), key=lambda entry: -entry[1])),
        slowed_since=owner.slowed_since,
    )


def reject_examples(*, import_id: int) -> list[dict[str, Any]]:
    """The first record of each error code, with its original bytes where they are kept."""
    with connection.cursor() as cursor:
        cursor.execute(queries.examples, {"import_id": import_id})
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def imports_stalled() -> list[int]:
    """Ids of imports of the command that should be running while nobody works on them."""
    with connection.cursor() as cursor:
        cursor.execute(queries.stalled)
        return [import_id for (import_id,) in cursor.fetchall()]
