"""
Rows of uploads: create, hand the pen from writer to writer, store segments, finish, concatenate, terminate.

Who writes takes a `Writer`: a fencing token. It is the only one who may store segments, at the offset it expects, until
somebody takes a higher token. Somebody who wants the upload asks its writer to let go first, so that what that one has
received is saved, and evicts it only when it does not answer. No transaction is open while bytes arrive.
"""

import hashlib
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import connection, transaction

from config.kernel.sql import load_queries
from ingestion import states
from ingestion.intake import upload_completed
from ingestion.models import AUTO, FINAL, GONE, PARTIAL, Import, Segment, Upload
from ingestion.uploads.errors import (
    FinalUploadError,
    LengthBelowOffsetError,
    LengthKnownError,
    PartNotUsableError,
    PartUnfinishedError,
    UploadGoneError,
    UploadInUseError,
    UploadNotFoundError,
    UploadTakenOverError,
)
from ingestion.uploads.quota import check_room, counted_bytes
from ingestion.uploads.reading import add_segments, upload_fingerprint
from ingestion.uploads.segments import NewSegment, forget

log = structlog.get_logger(__name__)
queries = load_queries("ingestion", "uploads")

TUS: Final = "tus"
WHOLE: Final = "whole"

LEASE_SECONDS: Final = 15
ASK_SECONDS: Final = 0.05

Completed = Callable[[Upload], Any]
"""What else happens in the transaction that completes an upload."""


@dataclass(frozen=True)
class Writer:
    """The right to write to an upload, as long as nobody took a higher token."""

    upload_id: uuid.UUID
    token: int


@dataclass(frozen=True)
class Description:
    """
    What shall happen with an upload: the metadata of its creation.

    Attributes:
        profile: name of a profile; "": the default one.
        start: "auto", import as soon as it is complete, or "manual".
        options: of the import, as `ingestion.intake` knows them.
        metadata: the tus header as given, to be repeated to those who ask.
    """

    filename: str = ""
    profile: str = ""
    start: str = AUTO
    options: dict[str, Any] | None = None
    metadata: str = ""


def upload_create(
    *,
    owner_id: str,
    description: Description,
    kind: str = TUS,
    length_bytes: int | None = None,
    partial: bool = False,
    created: Completed | None = None,
    completed: Completed | None = None,
    now: datetime,
) -> Upload:
    """
    A new upload; one of 0 bytes is complete at once.

    Args:
        length_bytes: None when it is not known yet.
        partial: it is only for a concatenation.
        created: called in the same transaction.
        completed: see `segments_store`.
        now: timezone-aware UTC, given by the caller.
    Raises:
        UploadTooLargeError, QuotaExceededError
    """
    with transaction.atomic():
        check_room(owner_id, length_bytes=length_bytes)
        upload = Upload.objects.create(
            owner_id=owner_id,
            kind=kind,
            filename=description.filename,
            profile=description.profile,
            start=description.start,
            options=description.options or {},
            metadata=description.metadata,
            length_bytes=length_bytes,
            concatenation=PARTIAL if partial else "",
            created_at=now,
            expires_at=_unfinished_until(now),
        )
        if created is not None:
            created(upload)
        if length_bytes == 0:
            _complete(upload, sha256=hashlib.sha256().hexdigest(), completed=completed, now=now)
    log.info("upload_created", upload_id=str(upload.pk), length_bytes=length_bytes, kind=kind)
    return upload


def upload_concatenate(
    *,
    owner_id: str,
    parts: Sequence[uuid.UUID],
    description: Description,
    completed: Completed | None = None,
    now: datetime,
) -> Upload:
    """
    One upload made of finished partial ones, in that order; no byte is copied.

    Raises:
        PartNotUsableError: a part is none of this owner's partial uploads.
        PartUnfinishedError, UploadGoneError: a part is not finished; its bytes were removed.
        UploadTooLargeError, QuotaExceededError: together they are too large; a part counts as often as it is named.
    """
    with transaction.atomic():
        # Locked, so that none is removed before our rows name its blobs; in one order, so that two do not deadlock.
        found = {
            part.pk: part
            for part in Upload.objects.select_for_update().filter(pk__in=set(parts), owner_id=owner_id).order_by("pk")
        }
        total = sum(_usable_part(part_id, found).offset_bytes for part_id in parts)
        check_room(owner_id, length_bytes=total, stored_bytes=counted_bytes(found))
        upload = Upload.objects.create(
            owner_id=owner_id,
            filename=description.filename,
            profile=description.profile,
            start=description.start,
            options=description.options or {},
            metadata=description.metadata,
            length_bytes=total,
            offset_bytes=total,
            concatenation=FINAL,
            parts=[str(part_id) for part_id in parts],
            created_at=now,
            expires_at=_unfinished_until(now),
        )
        _copy_segments(upload, [found[part_id] for part_id in parts])
        _complete(upload, sha256="", completed=completed, now=now)
    log.info("upload_concatenated", upload_id=str(upload.pk), parts=len(parts), length_bytes=total)
    return upload


def writer_take(*, upload_id: uuid.UUID, wait_seconds: float | None = None) -> Writer | None:
    """
    Become the one who writes; one who writes right now is asked to save what it has and let go.

    Args:
        wait_seconds: how long to wait for it before it is evicted; None: UPLOAD_YIELD_SECONDS.
    Returns:
        None when the upload is complete: there is nothing more to write.
    Raises:
        UploadNotFoundError, UploadGoneError, FinalUploadError
        UploadTakenOverError: yet another request was faster.
    """
    evictable = _ask_to_yield(upload_id, wait_seconds)
    row = _row(queries.take_upload, upload_id=upload_id, lease_seconds=LEASE_SECONDS, expected_token=evictable)
    if row is not None:
        return Writer(upload_id, row[0])
    upload = upload_alive(upload_id)
    if upload.concatenation == FINAL:
        raise FinalUploadError(upload_id=upload_id)
    if upload.state == Upload.State.COMPLETE:
        return None
    raise UploadTakenOverError(upload_id=upload_id)


def writer_stop(*, upload_id: uuid.UUID, wait_seconds: float | None = None) -> None:
    """Let whoever writes right now save what it has and stop, so that the offset is the last word."""
    evictable = _ask_to_yield(upload_id, wait_seconds)
    if evictable is not None:
        with connection.cursor() as cursor:
            cursor.execute(queries.evict_writer, {"upload_id": upload_id, "expected_token": evictable})


def upload_settle(*, upload_id: uuid.UUID, now: datetime) -> Upload:
    """
    The upload as it stays until somebody writes again: whoever writes right now saves what it has and stops.

    Completes one whose last byte is stored but whose process died before it could say so.

    Args:
        now: timezone-aware UTC.
    Raises:
        UploadNotFoundError, UploadGoneError
    """
    writer_stop(upload_id=upload_id)
    upload = upload_alive(upload_id)
    if upload.state == Upload.State.RECEIVING and upload.offset_bytes == upload.length_bytes:
        writer = writer_take(upload_id=upload_id)
        return segments_store(writer=writer, segments=[], now=now) if writer else upload_alive(upload_id)
    return upload


def writer_renew(writer: Writer) -> bool:
    """
    Keep the right to write; call it every second or so.

    Returns:
        Whether somebody waits for it: save what there is, and let go.
    Raises:
        UploadTakenOverError: it was taken away.
    """
    row = _row(queries.renew_writer, upload_id=writer.upload_id, lease_seconds=LEASE_SECONDS, token=writer.token)
    if row is None:
        raise UploadTakenOverError(upload_id=writer.upload_id)
    return bool(row[0])


def writer_release(writer: Writer) -> None:
    """Give the right back; nothing happens when somebody else has it."""
    with connection.cursor() as cursor:
        cursor.execute(queries.release_writer, {"upload_id": writer.upload_id, "token": writer.token})


def segments_store(
    *,
    writer: Writer,
    segments: Sequence[NewSegment],
    sha256: str = "",
    last: bool = False,
    completed: Completed | None = None,
    now: datetime,
) -> Upload:
    """
    Move the offset behind new segments. With the last byte the upload is complete.

    Args:
        segments: durable, in order, without a gap; they are deleted when they come too late.
        sha256: of the whole upload, where the writer knows it; stored with the last byte.
        last: an upload of unknown length ends here.
        completed: called in the transaction that completes it, instead of `ingestion.intake.upload_completed`.
    Raises:
        UploadTakenOverError: another writer has the upload, or it is gone; nothing was stored.
        QuotaExceededError: the owner has no room for what was not announced.
    """
    upload = Upload.objects.get(pk=writer.upload_id)
    end = segments[-1].end_bytes if segments else upload.offset_bytes
    total = end if last and upload.length_bytes is None else upload.length_bytes
    # Before the transaction: it reads from the storage.
    fingerprint = upload_fingerprint(upload.pk, segments) if end == total else ""
    with transaction.atomic():
        upload = Upload.objects.select_for_update().get(pk=writer.upload_id)
        begin = segments[0].offset_bytes if segments else upload.offset_bytes
        if (upload.writer_token, upload.state, upload.offset_bytes) != (writer.token, Upload.State.RECEIVING, begin):
            forget(segment.name for segment in segments)
            raise UploadTakenOverError(upload_id=upload.pk)
        add_segments(upload.pk, segments)
        upload.offset_bytes = end
        upload.expires_at = _unfinished_until(now)
        if end == total:
            upload.length_bytes, upload.fingerprint = total, fingerprint
            _complete(upload, sha256=sha256, completed=completed, now=now)
        else:
            upload.save(update_fields=["offset_bytes", "expires_at"])
    return upload


def upload_set_length(*, upload_id: uuid.UUID, length_bytes: int) -> None:
    """
    Say how long an upload will be whose length was not known.

    Raises:
        LengthKnownError: it has another length already.
        LengthBelowOffsetError, UploadTooLargeError, QuotaExceededError
    """
    with transaction.atomic():
        upload = Upload.objects.select_for_update().get(pk=upload_id)
        if upload.length_bytes == length_bytes:
            return
        if upload.length_bytes is not None:
            raise LengthKnownError(upload_id=upload_id, length_bytes=upload.length_bytes)
        if length_bytes < upload.offset_bytes:
            raise LengthBelowOffsetError(
                upload_id=upload_id, offset_bytes=upload.offset_bytes, length_bytes=length_bytes
            )
        check_room(upload.owner_id, length_bytes=length_bytes, stored_bytes=upload.offset_bytes)
        upload.length_bytes = length_bytes
        upload.save(update_fields=["length_bytes"])


def upload_terminate(*, upload_id: uuid.UUID) -> None:
    """
    Delete the bytes of an upload and stop its writer; the row stays, as "terminated".

    Raises:
        UploadNotFoundError, UploadGoneError
        UploadInUseError: an import has not ended yet.
    """
    with transaction.atomic():
        upload = _locked_alive(upload_id)
        reading = upload.imports.exclude(state__in=states.ENDED).order_by("pk").first()
        if reading is not None:
            raise UploadInUseError(upload_id=upload_id, import_id=reading.pk)
        blobs = _end(upload, Upload.State.TERMINATED)
    forget(blobs)
    log.info("upload_terminated", upload_id=str(upload_id), blobs=len(blobs))


def upload_expire(*, upload_id: uuid.UUID, now: datetime) -> bool:
    """
    Delete the bytes of an upload whose time is over; says whether it did.

    An unfinished import keeps the bytes of a complete upload, but not those of one that was abandoned: that import
    would wait for ever. The planner that reads it fails it, or else the sweeper (`ingestion.sweeping`) does.
    """
    with transaction.atomic():
        upload = Upload.objects.select_for_update().get(pk=upload_id)
        if upload.state in GONE or upload.expires_at > now:
            return False
        waiting = Import.objects.filter(upload=upload).exclude(state__in=states.ENDED)
        if upload.state == Upload.State.COMPLETE and waiting.exists():
            return False
        blobs = _end(upload, Upload.State.EXPIRED)
    forget(blobs)
    log.info("upload_expired", upload_id=str(upload_id), blobs=len(blobs))
    return True


def upload_alive(upload_id: uuid.UUID) -> Upload:
    """
    An upload that has its bytes.

    Raises:
        UploadNotFoundError, UploadGoneError
    """
    upload = Upload.objects.filter(pk=upload_id).first()
    if upload is None:
        raise UploadNotFoundError(upload_id=upload_id)
    if upload.state in GONE:
        raise UploadGoneError(upload_id=upload_id, state=upload.state)
    return upload


def _ask_to_yield(upload_id: uuid.UUID, wait_seconds: float | None) -> int | None:
    """Wait until nobody writes; the token of a writer that did not let go in time."""
    until = time.monotonic() + (settings.UPLOAD_YIELD_SECONDS if wait_seconds is None else wait_seconds)
    asked = _row(queries.ask_writer_to_yield, upload_id=upload_id)
    if asked is None:
        return None
    while time.monotonic() < until:
        time.sleep(ASK_SECONDS)
        # None: it let go. Another one: that came after the one that was asked, and so is newer than us.
        if _row(queries.current_writer, upload_id=upload_id) != asked:
            return None
    return int(asked[0])


def _complete(upload: Upload, *, sha256: str, completed: Completed | None, now: datetime) -> None:
    upload.state = Upload.State.COMPLETE
    upload.sha256 = sha256
    upload.fingerprint = upload.fingerprint or upload_fingerprint(upload.pk)
    upload.writer_until = None
    upload.completed_at = now
    upload.expires_at = now + timedelta(days=settings.UPLOAD_FINISHED_DAYS)
    upload.save()
    if completed is not None:
        completed(upload)
    else:
        upload_completed(upload=upload, now=now)


def _end(upload: Upload, state: Upload.State) -> list[str]:
    """Take the bytes away from a locked upload; the names of blobs to be deleted after the commit."""
    with connection.cursor() as cursor:
        cursor.execute(queries.blobs_of_upload, {"upload_id": upload.pk})
        blobs = [name for (name,) in cursor.fetchall()]
    Segment.objects.filter(upload=upload).delete()
    upload.state = state
    upload.writer_token += 1  # whoever writes right now may not store any more
    upload.writer_until = None
    upload.save(update_fields=["state", "writer_token", "writer_until"])
    return blobs


def _locked_alive(upload_id: uuid.UUID) -> Upload:
    upload = Upload.objects.select_for_update().filter(pk=upload_id).first()
    if upload is None:
        raise UploadNotFoundError(upload_id=upload_id)
    if upload.state in GONE:
        raise UploadGoneError(upload_id=upload_id, state=upload.state)
    return upload


def _usable_part(part_id: uuid.UUID, found: dict[uuid.UUID, Upload]) -> Upload:
    part = found.get(part_id)
    if part is None or part.concatenation != PARTIAL:
        raise PartNotUsableError(part=part_id)
    if part.state in GONE:
        raise UploadGoneError(upload_id=part_id, state=part.state)
    if part.state != Upload.State.COMPLETE:
        raise PartUnfinishedError(part=part_id)
    return part


def _copy_segments(final: Upload, parts: Sequence[Upload]) -> None:
    number = offset = 0
    with connection.cursor() as cursor:
        for part in parts:
            values: dict[str, Any] = {
                "final_id": final.pk,
                "part_id": part.pk,
                "number": number,
                "offset_bytes": offset,
            }
            cursor.execute(queries.copy_segments, values)
            number += cursor.rowcount
            offset += part.offset_bytes


def _unfinished_until(now: datetime) -> datetime:
    return now + timedelta(hours=settings.UPLOAD_UNFINISHED_HOURS)


def _row(query: str, **values: Any) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        found: tuple[Any, ...] | None = cursor.fetchone()
        return found
