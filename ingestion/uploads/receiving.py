"""The bytes of one request into segments, until the body ends, is cut off, or somebody else wants the upload."""

import hashlib
import time
from contextlib import suppress
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError

from config.kernel.bodies import BodyCutError, BodyMalformedError, RequestBody
from ingestion.clock import utc_now
from ingestion.models import Upload
from ingestion.uploads.checksums import Checksum
from ingestion.uploads.errors import (
    MalformedBodyError,
    QuotaExceededError,
    StorageFullError,
    StorageUnavailableError,
    UploadCutError,
    UploadInterruptedError,
    UploadTakenOverError,
    UploadTooLargeError,
    UploadTooLongError,
)
from ingestion.uploads.quota import room_bytes
from ingestion.uploads.segments import NewSegment, SegmentWriter
from ingestion.uploads.services import (
    Completed,
    Writer,
    segments_store,
    writer_release,
    writer_renew,
)

log = structlog.get_logger(__name__)

BEAT_SECONDS: Final = 0.5
EARLY_SECONDS, EARLY_BYTES = 1.0, 4 << 20
"""A segment that was begun so long ago is sealed before it is full: readers follow, and a crash costs little."""
LATE_SECONDS: Final = 15.0
"""The same for one of any size."""
STOP_SECONDS: Final = 5.0
"""How long a request may go on after the server was told to stop."""


class Receiver:
    """
    Copies one body into an upload.

    What arrives is durable, and counted by the offset, piece by piece, so every way to end keeps what it can. Only
    bytes with a checksum are kept all or none.

    Args:
        writer: taken by the caller, who has compared the offsets; released here.
        body: not yet begun.
        checksum: of this body.
        hashed: the body is the whole upload, whose SHA-256 shall be known.
        ends: the upload, of unknown length, ends with this body.
        completed: see `segments_store`.
    """

    def __init__(
        self,
        *,
        upload: Upload,
        writer: Writer,
        body: RequestBody,
        checksum: Checksum | None = None,
        hashed: bool = False,
        ends: bool = False,
        completed: Completed | None = None,
    ) -> None:
        self.upload = upload
        self._writer, self._body, self._checksum, self._completed = writer, body, checksum, completed
        self._sha256 = hashlib.sha256() if hashed else None
        self._ends = ends
        self._limit = self._find_limit()
        self._begun_at = self._beaten_at = self._heard_at = time.monotonic()
        self._stop_at: float | None = None
        self._segments: SegmentWriter

    def run(self) -> Upload:
        """
        Receive until the body ends.

        Raises:
            UploadCutError, MalformedBodyError, UploadInterruptedError, StorageFullError, StorageUnavailableError: what
                had arrived is kept, if it has no checksum.
            UploadTakenOverError: the same, unless it came too late.
            UploadTooLongError, QuotaExceededError: the body has more bytes than it may.
            ChecksumMismatchError: nothing was kept.
        """
        try:
            with SegmentWriter(self.upload.pk, offset=self.upload.offset_bytes) as self._segments:
                try:
                    self._copy()
                except (BodyCutError, BodyMalformedError) as error:
                    self._save()
                    raise self._ended_early(error) from error
                except (UploadInterruptedError, _AskedToYieldError, StorageFullError, StorageUnavailableError) as error:
                    self._save()
                    if isinstance(error, _AskedToYieldError):
                        raise UploadTakenOverError(upload_id=self.upload.pk) from error
                    raise
                return self._finish()
        finally:
            with suppress(DatabaseError):  # the lease ends by itself, too
                writer_release(self._writer)

    def _copy(self) -> None:
        with self._body.reading():
            while (piece := self._body.read()) != b"":
                if piece is not None:
                    self._accept(piece)
                self._look_around(heard=piece is not None)

    def _accept(self, piece: memoryview | bytes) -> None:
        if self._segments.offset + len(piece) > self._limit:
            self._refuse_more()
        if self._checksum is not None:
            self._checksum.update(piece)
        if self._sha256 is not None:
            self._sha256.update(piece)
        if not self._segments.unsealed_bytes:
            self._begun_at = time.monotonic()
        self._segments.write(piece)

    def _look_around(self, *, heard: bool) -> None:
        now = time.monotonic()
        if heard:
            self._heard_at = now
        elif now - self._heard_at > settings.UPLOAD_IDLE_SECONDS:
            raise UploadInterruptedError(reason=f"nothing came for {settings.UPLOAD_IDLE_SECONDS} s")
        if now - self._beaten_at < BEAT_SECONDS:
            return
        self._beaten_at = now
        if writer_renew(self._writer):
            raise _AskedToYieldError
        self._heed_stop(now)
        if self._checksum is None:
            self._seal_early(now)
            self._store(self._segments.sealed())

    def _heed_stop(self, now: float) -> None:
        if self._body.stopping:
            self._stop_at = self._stop_at or now + STOP_SECONDS
            if now >= self._stop_at:
                raise UploadInterruptedError(reason="this server stops")

    def _seal_early(self, now: float) -> None:
        size, age = self._segments.unsealed_bytes, now - self._begun_at
        if (size >= EARLY_BYTES and age >= EARLY_SECONDS) or (size and age >= LATE_SECONDS):
            self._segments.seal()

    def _finish(self) -> Upload:
        if self._checksum is not None:
            self._checksum.verify()
        try:
            segments = self._segments.finish()
        except (StorageFullError, StorageUnavailableError):
            self._save()
            raise
        complete = self._segments.offset == self.upload.length_bytes or self._ends
        if segments or complete:
            digest = self._sha256.hexdigest() if self._sha256 and complete else ""
            self._store(segments, sha256=digest, last=self._ends, always=True)
        return self.upload

    def _save(self) -> None:
        """Keep what arrived; without its checksum nothing is kept."""
        if self._checksum is None:
            self._store(self._segments.salvage())

    def _store(self, segments: list[NewSegment], *, sha256: str = "", last: bool = False, always: bool = False) -> None:
        if segments or always:
            self.upload = segments_store(
                writer=self._writer,
                segments=segments,
                sha256=sha256,
                last=last,
                completed=self._completed,
                now=utc_now(),
            )
            if self.upload.length_bytes is None:
                self._limit = self._find_limit()

    def _find_limit(self) -> int:
        """The offset that may not be passed. What was announced has its room already."""
        if self.upload.length_bytes is not None:
            return self.upload.length_bytes
        return room_bytes(owner_id=self.upload.owner_id, upload=self.upload)

    def _refuse_more(self) -> None:
        if self.upload.length_bytes is not None:
            raise UploadTooLongError(upload_id=self.upload.pk, length_bytes=self.upload.length_bytes)
        if self._limit == settings.UPLOAD_MAX_BYTES:
            raise UploadTooLargeError(limit_bytes=self._limit)
        raise QuotaExceededError(used_bytes=settings.UPLOAD_QUOTA_BYTES, quota_bytes=settings.UPLOAD_QUOTA_BYTES)

    def _ended_early(self, error: Exception) -> Exception:
        log.info("upload_cut", upload_id=str(self.upload.pk), offset_bytes=self.upload.offset_bytes)
        if isinstance(error, BodyMalformedError):
            return MalformedBodyError(upload_id=self.upload.pk)
        return UploadCutError(upload_id=self.upload.pk, offset_bytes=self.upload.offset_bytes)


class _AskedToYieldError(Exception):
    """Somebody else wants to go on with this upload."""
