"""Writing an upload's bytes as a row of blobs: piece by piece, the sealing of one while the next is filled."""

import uuid
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import structlog
from django.conf import settings

from ingestion.uploads.errors import StorageFullError, StorageUnavailableError
from ingestion.uploads.storage import Blob, SegmentStorage, blob_name, segment_storage

log = structlog.get_logger(__name__)

STORED: Final = "stored"
UNPACKED: Final = "unpacked"
DISCARDED: Final = (StorageFullError, StorageUnavailableError)


@dataclass(frozen=True)
class NewSegment:
    """A durable blob whose row is still to be written."""

    name: str
    offset_bytes: int
    length_bytes: int

    @property
    def end_bytes(self) -> int:
        """The offset behind its last byte."""
        return self.offset_bytes + self.length_bytes


class SegmentWriter:
    """
    Turns a stream into durable blobs of at most UPLOAD_SEGMENT_BYTES; holds no bytes in memory.

    A full blob is sealed (fsync, or PUT) by a thread while the next one is filled; at most one is being sealed at a
    time, so a slow storage slows the stream down. What `sealed` and `finish` return is durable and in order; whoever
    calls writes the rows. Used in a `with`, which discards what was not handed out.

    Args:
        offset: of the first byte.
    """

    def __init__(self, upload_id: uuid.UUID, *, content: str = STORED, offset: int) -> None:
        self.offset = offset
        self._upload_id, self._content = upload_id, content
        self._storage: SegmentStorage = segment_storage()
        self._limit: int = settings.UPLOAD_SEGMENT_BYTES
        self._blob: Blob | None = None
        self._sealing: tuple[Blob, int, Future[None]] | None = None
        self._done: list[NewSegment] = []
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="seal")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.discard()
        self._sealer.shutdown()

    @property
    def unsealed_bytes(self) -> int:
        """Bytes in the blob that is being filled."""
        return self._blob.length if self._blob else 0

    def write(self, data: memoryview | bytes) -> None:
        """
        Add bytes behind those written before.

        Raises:
            StorageFullError, StorageUnavailableError: an earlier blob could not be sealed, or this one not be written.
        """
        view = memoryview(data)
        while view:
            blob = self._blob or self._begin()
            part = view[: self._limit - blob.length]
            blob.write(part)
            self.offset += len(part)
            view = view[len(part) :]
            if blob.length >= self._limit:
                self.seal()

    def seal(self) -> None:
        """Begin to make durable what was written, without waiting for it. Raises as `write`."""
        self._collect(wait=True)
        if self._blob and self._blob.length:
            blob, self._blob = self._blob, None
            self._sealing = (blob, self.offset - blob.length, self._sealer.submit(blob.seal))

    def sealed(self) -> list[NewSegment]:
        """What became durable since the last call, without waiting. Raises as `write`."""
        self._collect(wait=False)
        return self._take()

    def finish(self) -> list[NewSegment]:
        """Make everything durable and return what was not yet handed out. Raises as `write`."""
        self.seal()
        self._collect(wait=True)
        return self._take()

    def salvage(self) -> list[NewSegment]:
        """As `finish`, after an error: as much as can be made durable without a gap."""
        try:
            self._collect(wait=True)
            return self.finish()
        except DISCARDED:
            return self._take()

    def discard(self) -> None:
        """Forget what was not handed out: its blobs are removed."""
        blobs: list[Blob] = [self._blob] if self._blob else []
        if self._sealing:
            blobs.append(self._sealing[0])
            self._sealing[2].exception()
        for blob in blobs:
            blob.discard()
        forget([self._sealing[0].name] if self._sealing else [])
        forget([segment.name for segment in self._done])
        self._blob, self._sealing, self._done = None, None, []

    def _begin(self) -> Blob:
        self._blob = self._storage.begin(blob_name(self._upload_id, self._content, self.offset))
        return self._blob

    def _collect(self, *, wait: bool) -> None:
        if self._sealing is None or not (wait or self._sealing[2].done()):
            return
        blob, offset, future = self._sealing
        self._sealing = None
        try:
            future.result()
        except BaseException:
            # What comes behind the gap is worth nothing.
            blob.discard()
            if self._blob:
                self._blob.discard()
                self._blob = None
            raise
        self._done.append(NewSegment(blob.name, offset, blob.length))

    def _take(self) -> list[NewSegment]:
        taken, self._done = self._done, []
        return taken


def forget(names: Iterable[str]) -> None:
    """Delete blobs that nobody knows of; one that cannot be deleted now is found by the pruner later."""
    storage = segment_storage()
    for name in names:
        try:
            storage.delete(name)
        except (OSError, *DISCARDED):
            log.warning("blob_not_deleted", blob=name, exc_info=True)
