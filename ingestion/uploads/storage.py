"""
Where segments lie: `STORAGES["uploads"]`, the file system by default, S3 where pods are replicated.

Beyond Django's storage API we need three things of a storage: to write a blob piece by piece, so that it is durable
before anybody is told so; to read a part of one; and to list old ones. `SegmentStorage` does this for any storage of
Django's; mix it into another one, as `uploads.s3` does, to use that.
"""

import errno
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, Protocol, cast

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages

from ingestion.uploads.errors import StorageFullError, StorageUnavailableError

ALIAS: Final = "uploads"
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
UNFINISHED: Final = ".part"
# A writer whose directory was removed by the pruner under its hands makes it again.
TRIES: Final = 3


class Blob(Protocol):
    """A blob that is being written; nobody sees it before `seal`."""

    name: str
    length: int

    def write(self, data: memoryview | bytes) -> None:
        """Add bytes. Raises StorageFullError, StorageUnavailableError."""

    def seal(self) -> None:
        """Make it durable and visible under its name; may be called in another thread. Raises as `write`."""

    def discard(self) -> None:
        """Forget it; nothing happens when it is sealed or discarded already."""


class SegmentStorage(Storage):
    """What uploads need of a storage, by Django's API alone."""

    def begin(self, name: str) -> Blob:
        """A new blob. Raises StorageFullError, StorageUnavailableError."""
        return SpooledBlob(self, name)

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """
        Up to `length` bytes at `offset`, fewer only at the blob's end.

        Raises:
            FileNotFoundError: no such blob.
            StorageUnavailableError: it cannot be read right now.
        """
        with self.open(name, "rb") as file:
            file.seek(offset)
            return bytes(file.read(length))

    def names(self, *, before: datetime) -> Iterator[str]:
        """Blobs, unfinished ones too, last written before a moment (timezone-aware)."""
        yield from self._names("", before)

    def _names(self, directory: str, before: datetime) -> Iterator[str]:
        directories, files = self.listdir(directory)
        for file in files:
            name = f"{directory}/{file}".lstrip("/")
            if self.get_modified_time(name) < before:
                yield name
        for inner in directories:
            yield from self._names(f"{directory}/{inner}".lstrip("/"), before)


class SpooledBlob:
    """Written to a temporary file first, and to the storage when it is sealed."""

    def __init__(self, storage: Storage, name: str) -> None:
        self.name, self.length = name, 0
        self._storage = storage
        with translated():
            self._spool: IO[bytes] = tempfile.TemporaryFile(  # noqa: SIM115 - `seal` or `discard` closes it
                dir=settings.FILE_UPLOAD_TEMP_DIR, buffering=0
            )

    def write(self, data: memoryview | bytes) -> None:
        with translated():
            write_all(self._spool.fileno(), data)
        self.length += len(data)

    def seal(self) -> None:
        with translated(), self._spool:
            self._spool.truncate(self.length)  # a write that failed may have left a part
            self._spool.seek(0)
            self._storage.save(self.name, File(self._spool, self.name))

    def discard(self) -> None:
        self._spool.close()


class DurableFile:
    """
    A file that appears under its name only when all of it is on the disk: written beside it, fsync, rename, fsync of
    the directory (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014).
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name, self.length = name, 0
        self._path = path
        self._unfinished = path.with_name(path.name + UNFINISHED)
        with translated():
            self._descriptor = self._create()

    def write(self, data: memoryview | bytes) -> None:
        with translated():
            write_all(self._descriptor, data)
        self.length += len(data)

    def seal(self) -> None:
        with translated():
            os.ftruncate(self._descriptor, self.length)  # a write that failed may have left a part
            os.fsync(self._descriptor)
            self._close()
            self._unfinished.rename(self._path)
            _fsync_directory(self._path.parent)

    def discard(self) -> None:
        if self._descriptor >= 0:
            self._close()
            with suppress(OSError):
                self._unfinished.unlink()

    def _create(self) -> int:
        for _ in range(TRIES - 1):
            with suppress(FileNotFoundError):
                return self._create_once()
        return self._create_once()

    def _create_once(self) -> int:
        _make_directory(self._path.parent)
        return os.open(self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


class FileSystemSegmentStorage(SegmentStorage, FileSystemStorage):
    """Segments as files. Several web processes on several machines need a file system that they share."""

    def begin(self, name: str) -> Blob:
        return DurableFile(Path(self.path(name)), name)

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        with translated():
            descriptor = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return _pread(descriptor, offset, length)
            finally:
                os.close(descriptor)

    def delete(self, name: str) -> None:
        """Delete a file, and its directory with the last one."""
        super().delete(name)
        with suppress(OSError):
            Path(self.path(name)).parent.rmdir()

    def names(self, *, before: datetime) -> Iterator[str]:
        root = Path(self.path(""))
        for directory, _, files in os.walk(root):
            for file in files:
                path = Path(directory, file)
                with suppress(FileNotFoundError):
                    if datetime.fromtimestamp(path.stat().st_mtime, UTC) < before:
                        yield str(path.relative_to(root))


def segment_storage() -> SegmentStorage:
    """The storage of uploads."""
    return cast(SegmentStorage, storages[ALIAS])


def blob_name(upload_id: uuid.UUID, content: str, offset: int) -> str:
    """
    A new name for a blob, never used before: two writers of the same bytes do not meet. It says whose bytes these are
    and where they belong, should the database ever be lost.
    """
    return f"{upload_id.hex[:2]}/{upload_id.hex}/{content}-{offset:015d}-{uuid.uuid4().hex[:12]}"


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the storage as refusals; FileNotFoundError stays."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in FULL:
            raise StorageFullError from error
        raise StorageUnavailableError(reason=error.strerror or str(error)) from error


def write_all(descriptor: int, data: memoryview | bytes) -> None:
    """Write every byte. Raises OSError."""
    written = os.write(descriptor, data)
    if written < len(data):
        view = memoryview(data)[written:]
        while view:
            view = view[os.write(descriptor, view) :]


def _pread(descriptor: int, offset: int, length: int) -> bytes:
    parts, have = [], 0
    while have < length and (part := os.pread(descriptor, length - have, offset + have)):
        parts.append(part)
        have += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _make_directory(directory: Path) -> None:
    """A directory that survives a crash of the machine, with those above it."""
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    _fsync_directory(directory.parent)


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
