"""An upload as one row of bytes, readable by offset in any process; and the writer of its unpacked form."""

import hashlib
import threading
import uuid
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, Self

from django.db import transaction

from ingestion.models import Segment, Upload
from ingestion.reader import SourceUnavailable
from ingestion.reader.source import SAMPLE_BYTES, sample_offsets
from ingestion.uploads.errors import NoRoomToUnpackError, StorageUnavailableError, UploadTakenOverError
from ingestion.uploads.quota import check_room_to_unpack
from ingestion.uploads.segments import STORED, UNPACKED, NewSegment, SegmentWriter, forget
from ingestion.uploads.storage import segment_storage

BLOCK_BYTES: Final = 1 << 20
# One request to S3 costs some 20 ms: a sequential reader takes more than a block at once.
AHEAD_BYTES: Final = 8 << 20


class UploadReader:
    """
    Reads what is durably stored of an upload.

    Segments never change, so what was once found is remembered; what is not known yet is asked for again. An instance
    may be shared by threads that have database connections of their own, and survives a fork.

    Args:
        content: "stored", the bytes as received, or "unpacked", the decompressed ones.
    """

    def __init__(self, upload_id: uuid.UUID | str, content: str = STORED) -> None:
        self.upload_id = uuid.UUID(str(upload_id))
        self.content = content
        self._segments: list[NewSegment] = []
        self._starts: list[int] = []
        self._refreshing = threading.Lock()

    @property
    def size(self) -> int | None:
        """The number of bytes when all are there; None while more are to come."""
        upload = Upload.objects.only("state", "offset_bytes", "unpacked_bytes").get(pk=self.upload_id)
        if self.content == UNPACKED:
            return upload.unpacked_bytes
        return upload.offset_bytes if upload.state != Upload.State.RECEIVING else None

    def stored_bytes(self) -> int:
        """How many bytes from the start can be read now."""
        self._refresh()
        return self._segments[-1].end_bytes if self._segments else 0

    def read(self, offset: int, length: int) -> bytes:
        """
        Exactly `length` bytes at an offset; no more than these are loaded.

        Raises:
            SourceUnavailable: they are not (or no longer) there, or the storage does not answer.
        """
        if not length:
            return b""
        if not self._segments or self._segments[-1].end_bytes < offset + length:
            self._refresh()
        if not self._segments or self._segments[-1].end_bytes < offset + length:
            raise SourceUnavailable(f"Upload {self.upload_id} has no {length} bytes at {offset}.")
        parts = []
        for number in range(bisect_right(self._starts, offset) - 1, len(self._segments)):
            segment = self._segments[number]
            skipped = offset - segment.offset_bytes
            parts.append(self._read_part(segment, skipped, min(length, segment.length_bytes - skipped)))
            offset, length = offset + len(parts[-1]), length - len(parts[-1])
            if not length:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def blocks(self, block_bytes: int = BLOCK_BYTES, start: int = 0) -> Iterator[bytes]:
        """
        The stored bytes from `start` on, up to the end of what is stored when it gets there.

        Args:
            block_bytes: of each block but the last.
        Raises:
            SourceUnavailable: as `read`.
        """
        ahead = max(block_bytes, AHEAD_BYTES // block_bytes * block_bytes)
        while (length := min(ahead, self.stored_bytes() - start)) > 0:
            window = memoryview(self.read(start, length))
            for begin in range(0, length, block_bytes):
                yield bytes(window[begin : begin + block_bytes])
            start += length

    def _read_part(self, segment: NewSegment, offset: int, length: int) -> bytes:
        try:
            found = segment_storage().read_range(segment.name, offset, length)
        except FileNotFoundError as error:
            raise SourceUnavailable(f"A part of upload {self.upload_id} was removed.") from error
        except StorageUnavailableError as error:
            raise SourceUnavailable(f"Upload {self.upload_id} cannot be read: {error}") from error
        if len(found) != length:
            raise SourceUnavailable(f"{segment.name} is shorter than it was when it was stored.")
        return found

    def _refresh(self) -> None:
        with self._refreshing:
            rows = Segment.objects.filter(
                upload_id=self.upload_id, content=self.content, number__gte=len(self._segments)
            ).order_by("number")
            for row in rows.values_list("name", "offset_bytes", "length_bytes"):
                self._add(NewSegment(*row))

    def _add(self, segment: NewSegment) -> None:
        self._starts.append(segment.offset_bytes)
        self._segments.append(segment)


class UploadWriter:
    """
    Writes the decompressed form of an upload, going on where an earlier one stopped.

        with UploadWriter(upload_id) as writer:
            for block in skip(unpacked, writer.offset):
                writer.write(block)
            writer.finish()

    Readers see what `write` was given when a segment is full, or after `flush`. Leaving the `with` keeps what is
    flushed. Two writers never mix: the one that comes late gets UploadTakenOverError.
    """

    def __init__(self, upload_id: uuid.UUID | str, content: str = UNPACKED) -> None:
        self.upload_id = uuid.UUID(str(upload_id))
        self.content = content
        self._stored = _end(self.upload_id, content)
        self._writer = SegmentWriter(self.upload_id, content=content, offset=self._stored)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, traceback)

    @property
    def offset(self) -> int:
        """Where the next byte goes."""
        return self._writer.offset

    def write(self, data: bytes) -> None:
        """
        Add bytes.

        Raises:
            UploadTakenOverError: somebody else wrote there.
            StorageFullError, StorageUnavailableError: see there; what is durable stays.
            NoRoomToUnpackError: the owner of the upload has no room for it.
        """
        self._writer.write(data)
        self._store(self._writer.sealed())

    def flush(self) -> None:
        """Make everything durable and readable. Raises as `write`."""
        self._store(self._writer.finish())

    def finish(self) -> None:
        """Flush, and say that this is all. Raises as `write`."""
        self.flush()
        Upload.objects.filter(pk=self.upload_id).update(unpacked_bytes=self._stored)

    def _store(self, segments: Sequence[NewSegment]) -> None:
        if not segments:
            return
        with transaction.atomic():
            Upload.objects.select_for_update().get(pk=self.upload_id)
            if _end(self.upload_id, self.content) != self._stored:
                forget([segment.name for segment in segments])
                raise UploadTakenOverError(upload_id=self.upload_id)
            try:
                check_room_to_unpack(upload_id=self.upload_id, more_bytes=segments[-1].end_bytes - self._stored)
            except NoRoomToUnpackError:
                forget([segment.name for segment in segments])
                raise
            add_segments(self.upload_id, segments, content=self.content)
        self._stored = segments[-1].end_bytes


def add_segments(upload_id: uuid.UUID, segments: Sequence[NewSegment], *, content: str = STORED) -> None:
    """Write the rows of new segments behind those of an upload; the caller holds its row's lock."""
    last = _last(upload_id, content)
    Segment.objects.bulk_create(
        Segment(
            upload_id=upload_id,
            content=content,
            number=number,
            offset_bytes=segment.offset_bytes,
            length_bytes=segment.length_bytes,
            name=segment.name,
        )
        for number, segment in enumerate(segments, start=last.number + 1 if last else 0)
    )


def upload_fingerprint(upload_id: uuid.UUID, more: Sequence[NewSegment] = ()) -> str:
    """
    Quick likeness of the stored bytes, equal to `ingestion.reader.Source.fingerprint` of the same file.

    Args:
        more: segments behind those that have rows.
    Raises:
        SourceUnavailable: they cannot be read.
    """
    reader = UploadReader(upload_id)
    size = more[-1].end_bytes if more else 0
    size = max(size, reader.stored_bytes())
    for segment in more:
        reader._add(segment)
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    for offset in sample_offsets(size):
        digest.update(reader.read(offset, min(SAMPLE_BYTES, size - offset)))
    return f"{size}-{digest.hexdigest()}"


def _end(upload_id: uuid.UUID, content: str) -> int:
    last = _last(upload_id, content)
    return last.offset_bytes + last.length_bytes if last else 0


def _last(upload_id: uuid.UUID, content: str) -> Segment | None:
    return Segment.objects.filter(upload_id=upload_id, content=content).order_by("-number").first()
