"""
How much people may keep here: what they have stored or announced, and what was unpacked of it.

A final upload counts its whole length, of a part that it names twice both times; its partial ones then count nothing
more. What an import unpacks counts as it is written, towards the owner of the upload, whoever imports it.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from config.kernel.sql import load_queries
from ingestion.models import Upload
from ingestion.uploads.errors import NoRoomToUnpackError, QuotaExceededError, UploadTooLargeError

queries = load_queries("ingestion", "uploads")


def used_bytes(owner_id: str) -> int:
    """What counts towards somebody's quota now."""
    return int(_one(queries.bytes_of_owner, owner_id=owner_id))


def room_bytes(*, owner_id: str, upload: Upload) -> int:
    """How many bytes an upload may still grow to, by its own limit and by what its owner has left."""
    used = used_bytes(owner_id) - max(upload.offset_bytes, upload.length_bytes or 0)
    return max(0, min(settings.UPLOAD_MAX_BYTES, settings.UPLOAD_QUOTA_BYTES - used))


def check_room(owner_id: str, *, length_bytes: int | None, stored_bytes: int = 0) -> None:
    """
    Refuse what is too large, or more than the owner has left; holds the owner's lock until the transaction ends.

    Args:
        length_bytes: of the whole upload; None: it is not known yet.
        stored_bytes: as many of these count already.
    Raises:
        UploadTooLargeError, QuotaExceededError
    """
    if length_bytes is not None and length_bytes > settings.UPLOAD_MAX_BYTES:
        raise UploadTooLargeError(limit_bytes=settings.UPLOAD_MAX_BYTES)
    used = _used_under_lock(owner_id)
    # Of what comes without a length at least one byte must have room.
    wanted = 1 if length_bytes is None else length_bytes - stored_bytes
    # What adds nothing is fine even where the quota was lowered.
    if wanted > 0 and used + wanted > settings.UPLOAD_QUOTA_BYTES:
        raise QuotaExceededError(used_bytes=used, quota_bytes=settings.UPLOAD_QUOTA_BYTES)


def counted_bytes(parts: Iterable[UUID]) -> int:
    """How much of these partial uploads, whose rows are held, counts by itself: not yet as a final one's."""
    return int(_one(queries.counted_parts, parts=[str(part) for part in parts]))


def check_room_to_unpack(*, upload_id: UUID, more_bytes: int) -> None:
    """
    Refuse decompressed bytes for which the upload's owner has no room; locks as `check_room`.

    Raises:
        NoRoomToUnpackError: its import pauses, and goes on where it was when there is room again.
    """
    used = _used_under_lock(Upload.objects.values_list("owner_id", flat=True).get(pk=upload_id))
    if used + more_bytes > settings.UPLOAD_QUOTA_BYTES:
        raise NoRoomToUnpackError(used_bytes=used, quota_bytes=settings.UPLOAD_QUOTA_BYTES)


def _used_under_lock(owner_id: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(queries.lock_quota, {"owner_id": owner_id})
    # A statement of its own: it sees what was committed while we waited.
    return used_bytes(owner_id)


def _one(query: str, **values: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchone()[0]
