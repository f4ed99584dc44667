"""What is expired, and what a crash left behind: removed by `manage.py prune_uploads`."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Final
from uuid import UUID

import structlog
from django.db import connection

from config.kernel.sql import load_queries
from ingestion import states
from ingestion.models import Segment
from ingestion.uploads.segments import forget
from ingestion.uploads.services import upload_expire
from ingestion.uploads.storage import segment_storage

log = structlog.get_logger(__name__)
queries = load_queries("ingestion", "uploads")

BATCH: Final = 500
ORPHAN_HOURS: Final = 24
"""A blob may be this old before its row is written: a request fills one for minutes at most."""


def uploads_expire(*, now: datetime) -> int:
    """
    Remove the bytes of uploads whose time is over and that no unfinished import reads; says of how many.

    Args:
        now: timezone-aware UTC.
    """
    expired = 0
    while batch := _expired(now):
        done = [upload_expire(upload_id=upload_id, now=now) for upload_id in batch]
        expired += sum(done)
        if not any(done):
            break  # others were faster, or an import began
    return expired


def orphans_delete(*, now: datetime) -> int:
    """
    Delete blobs that no row names and that are a day old: what processes were writing when they died.

    Args:
        now: timezone-aware UTC.
    """
    names = segment_storage().names(before=now - timedelta(hours=ORPHAN_HOURS))
    deleted = 0
    for batch in _batches(names):
        known = set(Segment.objects.filter(name__in=batch).values_list("name", flat=True))
        orphans = [name for name in batch if name not in known]
        forget(orphans)
        deleted += len(orphans)
    if deleted:
        log.info("orphans_deleted", blobs=deleted)
    return deleted


def _expired(now: datetime) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(queries.expired_uploads, {"now": now, "ended": list(states.ENDED), "limit": BATCH})
        return [upload_id for (upload_id,) in cursor.fetchall()]


def _batches(names: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(names, BATCH)):
        yield batch
