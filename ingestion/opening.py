"""Open a stored source again, in whatever process: a file of this machine, or an upload."""

import io
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, cast

from ingestion.models import Upload
from ingestion.reader import ByteSource, Source, SourceUnavailable
from ingestion.reader.source import PLAIN, ZIP, csv_member, kind_of, translated, unpacked, within_limits, without_first
from ingestion.uploads.reading import UploadReader, UploadWriter, upload_fingerprint
from ingestion.uploads.segments import STORED, UNPACKED

WAIT_SECONDS: Final = 0.1
UNPACKED_AT_ONCE: Final = 16 << 20
MAX_DECOMPRESSED_BYTES: Final = 1 << 40
MAX_RATIO: Final = 1_000.0
LOST: Final = {
    Upload.State.TERMINATED: "was terminated by its owner",
    Upload.State.EXPIRED: "expired",
}


def source_from_descriptor(descriptor: dict[str, Any], *, waiting: Callable[[], None] | None = None) -> ByteSource:
    """
    The source that `descriptor` was made of.

    Args:
        waiting: called while a source waits for bytes that are still being uploaded; may raise to end the waiting.
            None: nothing is waited for.
    """
    if "upload" in descriptor:
        return UploadSource(**descriptor, waiting=waiting)
    return Source.from_descriptor(descriptor)


def source_of_upload(upload: Upload) -> "UploadSource":
    """
    An upload as a source; what it is, is told by its first bytes, not by its name.

    Raises:
        SourceUnavailable: its bytes are not (or not yet) there.
        UnsupportedArchive: a .zip that is encrypted or has not exactly one CSV, or another kind of archive.
    """
    reader = UploadReader(upload.pk)
    name = upload.filename or f"upload {upload.pk}"
    kind = kind_of(reader.read(0, min(8, reader.stored_bytes())), name=name)
    with translated(name):
        member = csv_member(_file_of(reader), name=name) if kind == ZIP else ""
    # Chunks follow from this size, so it is fixed now: a planner that starts over must find the same ones.
    complete = upload.state == Upload.State.COMPLETE
    size = (upload.offset_bytes if complete else upload.length_bytes) if kind == PLAIN else None
    return UploadSource(upload=str(upload.pk), name=name, kind=kind, member=member, size=size)


class UploadSource:
    """
    An upload, read through the storage that holds its segments; the sibling of `ingestion.reader.Source`.

    A packed one is decompressed once, by `blocks`, into segments of its own: so every process can read byte ranges.

    Args:
        upload: its id.
        kind, member, size: as for `ingestion.reader.Source`.
        waiting: see `source_from_descriptor`.
    """

    def __init__(
        self,
        *,
        upload: str,
        name: str,
        kind: str,
        member: str = "",
        size: int | None = None,
        waiting: Callable[[], None] | None = None,
    ) -> None:
        self.upload = upload
        self.name = name
        self.kind = kind
        self.member = member
        self.size = size
        self._waiting = waiting
        self._stored = UploadReader(upload, STORED)
        self._bytes = self._stored if kind == PLAIN else UploadReader(upload, UNPACKED)

    def descriptor(self) -> dict[str, Any]:
        """A JSON-safe form from which any process can open the source again."""
        return {
            "upload": self.upload, "name": self.name, "kind": self.kind, "member": self.member, "size": self.size
        }  # fmt: skip

    def blocks(self, block_bytes: int = 1 << 20) -> Iterator[bytes]:
        """
        All decompressed bytes; of an upload that is still being received as they arrive.

        Raises:
            SourceUnavailable: they are not there, or will never be.
            CorruptArchive, DecompressionLimit: as for `ingestion.reader.Source`.
            StorageFullError: there is no room for the decompressed bytes, on the disk or in the owner's quota.
        """
        total = 0
        for block in self._arriving(block_bytes) if self.kind == PLAIN else self._unpacking():
            total += len(block)
            yield block
        self.size = total

    def blocks_from(self, offset: int) -> Iterator[bytes]:
        """The decompressed bytes from an offset on, as far as they are there now; keeps no copy of them."""
        self._row()
        if self.kind == PLAIN:
            yield from self._stored.blocks(start=offset)
        else:
            yield from without_first(self._decompressed(), offset)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes at a decompressed offset. Raises SourceUnavailable when they are not there."""
        try:
            return self._bytes.read(offset, length)
        except SourceUnavailable:
            self._row()  # says why, where the upload is gone
            raise

    def head(self, length: int = 1 << 20) -> bytes:
        """The first decompressed bytes that are there now."""
        if self.kind == PLAIN:
            return self._stored.read(0, min(length, self._stored.stored_bytes()))
        parts, have = [], 0
        for block in self._decompressed():
            parts.append(block)
            have += len(block)
            if have >= length:
                break
        return b"".join(parts)[:length]

    def identity(self) -> None:
        """Segments never change."""

    def fingerprint(self) -> str | None:
        """As `ingestion.reader.Source.fingerprint` of the same file; None until all is there."""
        upload = self._row()
        if upload.state != Upload.State.COMPLETE:
            return None
        return upload.fingerprint or upload_fingerprint(upload.pk)

    def discard(self) -> None:
        """Nothing: what belongs to an upload goes with it."""

    def _row(self) -> Upload:
        upload = Upload.objects.filter(pk=self.upload).first()
        if upload is None or upload.state in LOST:
            why = "was removed" if upload is None else LOST[Upload.State(upload.state)]
            raise SourceUnavailable(f"{self.name} {why} before it was read to its end.", hint="Upload it again.")
        return upload

    def _arriving(self, block_bytes: int) -> Iterator[bytes]:
        start = 0
        while True:
            # Asked before the bytes are: what is said to be complete has all of them.
            receiving = self._row().state == Upload.State.RECEIVING
            for block in self._stored.blocks(block_bytes, start):
                start += len(block)
                yield block
            if not receiving:
                return
            if self._waiting is None:
                raise SourceUnavailable(f"{self.name} is still being uploaded.", hint="Wait until it is complete.")
            self._waiting()
            time.sleep(WAIT_SECONDS)

    def _decompressed(self) -> Iterator[bytes]:
        packed_bytes = self._row().offset_bytes
        blocks = unpacked(self.kind, _file_of(self._stored), name=self.name, member=self.member)
        return within_limits(
            blocks,
            name=self.name,
            packed_bytes=packed_bytes,
            max_bytes=MAX_DECOMPRESSED_BYTES,
            max_ratio=MAX_RATIO,
        )

    def _unpacking(self) -> Iterator[bytes]:
        """Hand on what is durable only: workers read it as soon as its chunk is planned."""
        with UploadWriter(self.upload) as writer:
            durable, position = writer.offset, 0
            held: list[bytes] = []
            for block in self._decompressed():
                fresh = block[max(0, durable - position) :]
                position += len(block)
                if fresh:
                    writer.write(fresh)
                held.append(block)
                if sum(map(len, held)) >= UNPACKED_AT_ONCE:
                    writer.flush()
                    yield from held
                    held = []
                    if self._waiting is not None:
                        self._waiting()
            writer.finish()
            yield from held


def _file_of(reader: UploadReader) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_UploadFile(reader), buffer_size=1 << 20))


class _UploadFile(io.RawIOBase):
    """What is stored of an upload, as a seekable file."""

    def __init__(self, reader: UploadReader) -> None:
        self._reader = reader
        self._size = reader.stored_bytes()
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise OSError(f"There is nothing at {origin + offset}.")
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self._size - self._position))
        view[:length] = self._reader.read(self._position, length)
        self._position += length
        return length
