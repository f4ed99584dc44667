"""Where imports stand: how far, how fast, what came of their records, and how many rejects are still open."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from config.kernel.sql import load_queries
from ingestion import states
from ingestion.books import OUTCOMES
from ingestion.models import Import, Source, Upload
from orders.outbox.selectors import publishing

queries = load_queries("ingestion", "standing")

RATE_SECONDS: Final = 30
"""The rate is that of the last half minute: what is to come depends on now, not on how it began."""


@dataclass
class Standing:
    """
    Attributes:
        bytes_total: None until it is known: a packed file tells it only when it was read once.
        records_total: None until everything is planned.
        bytes_per_second, records_per_second: of the last `RATE_SECONDS`; None unless it runs.
        eta_seconds: until the last chunk is done at that rate; None where that is not known.
        errors: by code, the most frequent first.
        settled: records that children brought in.
    """

    bytes_done: int = 0
    bytes_total: int | None = None
    records_done: int = 0
    records_total: int | None = None
    chunks_done: int = 0
    chunks_planned: int = 0
    bytes_per_second: float | None = None
    records_per_second: float | None = None
    eta_seconds: float | None = None
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    errors: dict[str, int] = field(default_factory=dict)
    settled: int = 0

    @property
    def open_rejects(self) -> int:
        """
        Rejected records that no child has brought in yet.

        Counted, not matched: a mended record has other bytes, perhaps another id, so nothing tells for certain which
        one it was. Each record of a child that was loaded, unchanged or skipped settles one reject of the parent; one
        that is rejected again settles none. A mended record that two children load counts twice.
        """
        return max(0, self.outcomes["rejected"] - self.settled)


def standings(owners: Sequence[Import], *, now: datetime) -> dict[int, Standing]:
    """
    Where each of these imports stands, in a handful of queries for all of them.

    Args:
        owners: certificates need not be loaded.
        now: timezone-aware UTC.
    """
    found = {owner.pk: Standing() for owner in owners}
    # What is over does not change any more, and a dry run has no chunks outside of its own transaction.
    sealed = [owner.pk for owner in owners if owner.state in states.SUCCEEDED or owner.dry_run]
    moving = [owner for owner in owners if owner.pk not in sealed]
    with connection.cursor() as cursor:
        if sealed:
            cursor.execute(queries.sealed_counts, {"imports": sealed})
            for row in cursor.fetchall():
                _seal(found[row[0]], row)
        if moving:
            ids = [owner.pk for owner in moving]
            recently = now - timedelta(seconds=RATE_SECONDS)
            cursor.execute(queries.chunk_sums, {"imports": ids, "recently": recently})
            sums = {row[0]: row[1:] for row in cursor.fetchall()}
            cursor.execute(queries.counters_of, {"imports": ids})
            _count(found, cursor.fetchall())
            for owner in moving:
                _move(found[owner.pk], owner, sums.get(owner.pk), now=now)
        cursor.execute(queries.settled_by_children, {"imports": list(found)})
        for import_id, settled in cursor.fetchall():
            found[import_id].settled = int(settled)
    for owner in owners:
        if owner.dry_run and owner.step_progress and owner.state not in states.ENDED:
            _tell(found[owner.pk], owner.step_progress)
    _expected_bytes({owner.pk: found[owner.pk] for owner in moving})
    return found


def _seal(standing: Standing, row: tuple[Any, ...]) -> None:
    _, chunks, size, records, outcomes, errors = row
    standing.chunks_done = standing.chunks_planned = chunks
    standing.bytes_done = standing.bytes_total = size
    standing.records_done = standing.records_total = records
    standing.outcomes |= _dict(outcomes)
    standing.errors = _most_frequent_first(_dict(errors))


def _tell(standing: Standing, progress: dict[str, Any]) -> None:
    """What a dry run says of itself while it goes on."""
    standing.records_done = progress.get("records_done", 0)
    standing.bytes_done, standing.bytes_total = progress.get("bytes_done", 0), progress.get("bytes_total")


def _dict(value: Any) -> dict[str, int]:
    loaded: dict[str, int] = value if isinstance(value, dict) else json.loads(value)
    return loaded


def _count(found: dict[int, Standing], rows: Iterable[tuple[int, str, str, int]]) -> None:
    for import_id, kind, name, number in rows:
        counters = found[import_id].outcomes if kind == "outcomes" else found[import_id].errors
        counters[name] = int(number)
    for standing in found.values():
        standing.errors = _most_frequent_first(standing.errors)


def _most_frequent_first(errors: dict[str, int]) -> dict[str, int]:
    return dict(sorted(errors.items(), key=lambda entry: (-entry[1], entry[0])))


def _move(standing: Standing, owner: Import, sums: tuple[Any, ...] | None, *, now: datetime) -> None:
    if sums is None:
        return
    planned, done, size, size_done, records, records_done, size_recent, records_recent = (int(value) for value in sums)
    standing.chunks_planned, standing.chunks_done = planned, done
    standing.bytes_done, standing.records_done = size_done, records_done
    if owner.planned_at is not None:
        standing.bytes_total, standing.records_total = size, records
    if owner.state in states.ENDED:
        # As the certificate will say it.
        standing.outcomes["unprocessed"] += records - records_done
    if owner.state == states.RUNNING and owner.started_at is not None:
        seconds = max(1.0, min(float(RATE_SECONDS), (now - owner.started_at).total_seconds()))
        standing.bytes_per_second, standing.records_per_second = size_recent / seconds, records_recent / seconds


def _expected_bytes(moving: dict[int, Standing]) -> None:
    """Until all is planned, what the sources or the upload are known to have; then the time that is left."""
    unknown = [import_id for import_id, standing in moving.items() if standing.bytes_total is None]
    if unknown:
        sizes = Import.objects.filter(pk__in=unknown, prepared_at=None).values_list("pk", "upload__length_bytes")
        for import_id, length in sizes:
            moving[import_id].bytes_total = length
        for import_id, size in Source.objects.filter(owner__in=unknown).values_list("owner_id", "descriptor__size"):
            moving[import_id].bytes_total = None if size is None else (moving[import_id].bytes_total or 0) + size
    for standing in moving.values():
        if standing.bytes_per_second and standing.bytes_total is not None:
            standing.eta_seconds = max(0, standing.bytes_total - standing.bytes_done) / standing.bytes_per_second


def publishing_entry(owner: Import) -> dict[str, Any] | None:
    """
    How far the events of an import's new orders have got, apart from how long loading took.

    What was published long ago is counted no more (OUTBOX_RETENTION_DAYS): then there are no events, and all are
    published. None for a dry run, which writes none.
    """
    if owner.dry_run:
        return None
    found = publishing(owner.pk)
    ended = owner.state in states.ENDED
    complete = found.published == found.entries
    published_at = found.published_at if complete and ended else None
    after_load = None
    if published_at is not None and owner.ended_at is not None:
        after_load = round(max(0.0, (published_at - owner.ended_at).total_seconds()), 3)
    return {
        "events": found.events,
        "events_published": found.events_published,
        "complete": complete and ended,
        "published_at": published_at,
        "load_seconds": round(owner.active_seconds, 3) if ended else None,
        "seconds_after_load": after_load,
    }


def import_mark(*, import_id: int) -> str | None:
    """
    A short text that differs whenever the answer about an import would, but for rates: cheap, for those who poll.

    Returns:
        None when there is no such import.
    """
    with connection.cursor() as cursor:
        cursor.execute(queries.mark, {"import_id": import_id})
        row = cursor.fetchone()
    if row is None:
        return None
    return hashlib.sha256(repr((row, publishing(import_id))).encode()).hexdigest()[:24]


def upload_entry(upload: Upload | None) -> dict[str, Any] | None:
    """What of an upload belongs to the answer about its import."""
    if upload is None:
        return None
    return {
        "id": str(upload.pk),
        "filename": upload.filename,
        "state": upload.state,
        "received_bytes": upload.offset_bytes,
        "length_bytes": upload.length_bytes,
        "sha256": upload.sha256 or None,
    }
