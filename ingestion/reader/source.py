"""
Where the bytes come from: a plain file, .gz, .zst, .zip or standard input.

A compressed source is read once, sequentially; what comes out is written to a spool file, and any process that holds
the source's descriptor may read a byte range from there as soon as `blocks` has yielded past it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import zstandard

from ingestion.reader.errors import CorruptArchive, DecompressionLimit, SourceUnavailable, UnsupportedArchive

PLAIN, GZIP, ZSTD, ZIP, STDIN = "plain", "gzip", "zstd", "zip", "stdin"
READ_BYTES = 1 << 18  # compressed bytes taken at once
ZSTD_READ_BYTES, ZSTD_STEP = 1 << 14, 1 << 10
RATIO_JUDGED_FROM = 100 << 20  # decompressed bytes from which the ratio counts
SAMPLE_BYTES = 1 << 16
SAMPLES = 16
MEMBER_SUFFIXES = (".csv", ".tsv", ".txt", ".tab", ".dat", ".psv")
_MAGIC = ((b"\x1f\x8b", GZIP), (b"\x28\xb5\x2f\xfd", ZSTD), (b"PK\x03\x04", ZIP), (b"PK\x05\x06", ZIP))


class ByteSource(Protocol):
    """What the pipeline needs of the bytes of a file; `Source` is the one for files on this machine."""

    name: str
    kind: str
    size: int | None

    def descriptor(self) -> dict[str, Any]:
        """A JSON-safe form from which the source can be opened again."""

    def blocks(self, block_bytes: int = 1 << 20) -> Iterator[bytes]:
        """All decompressed bytes from the start; sets `size` at the end. May wait for bytes still to come."""

    def blocks_from(self, offset: int) -> Iterator[bytes]:
        """The decompressed bytes from an offset on, as far as they are there now; keeps no copy of them."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes at a decompressed offset. Raises SourceUnavailable when they are not there."""

    def head(self, length: int = 1 << 20) -> bytes:
        """The first bytes, decompressed."""

    def identity(self) -> dict[str, int] | None:
        """Something that changes with the bytes; None where they cannot change."""

    def fingerprint(self) -> str | None:
        """Quick likeness of the bytes as stored; None where there is none."""

    def discard(self) -> None:
        """Remove decompressed copies."""


@dataclass
class Source:
    """
    Attributes:
        name: as given, "-" for standard input.
        kind: "plain", "gzip", "zstd", "zip" or "stdin".
        path: the file itself; empty for standard input.
        spool: path of the decompressed copy; empty for plain files.
        member: name of the member of a .zip.
        size: decompressed bytes; None before it is known.
        max_decompressed_bytes: refuse to unpack more; None for no limit.
        max_ratio: refuse to unpack to more than this multiple of the packed size, judged from 100 MiB on; None for no
            limit.
    """

    name: str
    kind: str
    path: str
    spool: str = ""
    member: str = ""
    size: int | None = None
    max_decompressed_bytes: int | None = None
    max_ratio: float | None = None

    def descriptor(self) -> dict[str, Any]:
        """A JSON-safe form from which any process on this machine can open the source again."""
        return asdict(self)

    @classmethod
    def from_descriptor(cls, descriptor: dict[str, Any]) -> Self:
        """The opposite of `descriptor`."""
        return cls(**descriptor)

    def blocks(self, block_bytes: int = 1 << 20) -> Iterator[bytes]:
        """
        All decompressed bytes from the start; sets `size` at the end.

        Raises:
            CorruptArchive: it ends too early or is damaged.
            DecompressionLimit: it unpacks to more than is allowed.
            SourceUnavailable: it cannot be read.
        """
        with translated(self.name):
            total = 0
            for block in self._stored(block_bytes) if self.kind == PLAIN else self._spooled(block_bytes):
                total += len(block)
                yield block
            self.size = total

    def blocks_from(self, offset: int) -> Iterator[bytes]:
        """The decompressed bytes from an offset on; keeps no copy of them. Raises as `blocks`."""
        with translated(self.name):
            if self.kind == PLAIN:
                yield from self._stored(READ_BYTES, start=offset)
            else:
                yield from without_first(self._unpacked(), offset)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes at a decompressed offset. Raises SourceUnavailable when they are not there."""
        with translated(self.name), Path(self.path if self.kind == PLAIN else self.spool).open("rb", 0) as file:
            return _read_exactly(file.fileno(), offset, length, self.name)

    def head(self, length: int = 1 << 20) -> bytes:
        """The first bytes, decompressed; for standard input only what `blocks` has already spooled."""
        with translated(self.name):
            if self.kind in (PLAIN, STDIN):
                with Path(self.path or self.spool).open("rb") as file:
                    return file.read(length)
            parts, have = [], 0
            for block in self._unpacked():
                parts.append(block)
                have += len(block)
                if have >= length:
                    break
            return b"".join(parts)[:length]

    def identity(self) -> dict[str, int] | None:
        """Size, time of change, inode and device of the file, to notice that it changed; None for standard input."""
        if not self.path:
            return None
        with translated(self.name):
            found = Path(self.path).stat()
        return {
            "size": found.st_size,
            "mtime_ns": found.st_mtime_ns,
            "inode": found.st_ino,
            "device": found.st_dev,
        }

    def fingerprint(self) -> str | None:
        """Quick likeness of the file as stored: size and blake2b over 18 blocks of 64 KiB; None for stdin."""
        if not self.path:
            return None
        with translated(self.name), Path(self.path).open("rb", 0) as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.blake2b(str(size).encode(), digest_size=16)
            for offset in sample_offsets(size):
                digest.update(os.pread(file.fileno(), SAMPLE_BYTES, offset))
        return f"{size}-{digest.hexdigest()}"

    def discard(self) -> None:
        """Remove the spool file."""
        if self.spool:
            Path(self.spool).unlink(missing_ok=True)

    def _stored(self, block_bytes: int, *, start: int = 0) -> Iterator[bytes]:
        with Path(self.path).open("rb", 0) as file:
            file.seek(start)
            while block := file.read(block_bytes):
                yield block

    def _spooled(self, block_bytes: int) -> Iterator[bytes]:
        Path(self.spool).parent.mkdir(parents=True, exist_ok=True)
        # Not truncated: after a crash the same bytes are written again while workers read what stands there.
        Path(self.spool).touch()
        with Path(self.spool).open("r+b", 0) as spool:
            for block in self._unpacked(block_bytes):
                _write_all(spool, block)
                yield block

    def _unpacked(self, block_bytes: int = 1 << 20) -> Iterator[bytes]:
        if self.kind == STDIN:
            yield from self._limited(_from_standard_input(block_bytes), packed_bytes=None)
            return
        with Path(self.path).open("rb") as file:
            packed_bytes = os.fstat(file.fileno()).st_size
            blocks = unpacked(self.kind, file, name=self.name, member=self.member)
            yield from self._limited(blocks, packed_bytes=packed_bytes)

    def _limited(self, blocks: Iterator[bytes], *, packed_bytes: int | None) -> Iterator[bytes]:
        return within_limits(
            blocks,
            name=self.name,
            packed_bytes=packed_bytes,
            max_bytes=self.max_decompressed_bytes,
            max_ratio=self.max_ratio,
        )


def open_source(
    path: str | os.PathLike[str],
    *,
    spool_directory: str | os.PathLike[str],
    max_decompressed_bytes: int | None = None,
    max_ratio: float | None = 200.0,
) -> Source:
    """
    A source for a path, or "-" for standard input. What it is, is told by its first bytes, not by its name.

    Args:
        spool_directory: where decompressed copies go; not used for plain files.
        max_decompressed_bytes, max_ratio: see `Source`.
    Raises:
        SourceUnavailable: no such file, or not a regular one.
        UnsupportedArchive: a .zip that is encrypted or has not exactly one CSV, or another kind of archive.
    """
    name = os.fspath(path)
    spool = str(Path(spool_directory).absolute() / f"{uuid.uuid4().hex}.spool")
    if name == "-":
        return Source("-", STDIN, "", spool=spool, max_decompressed_bytes=max_decompressed_bytes)
    with translated(name):
        kind = _kind(Path(name))
        if kind == PLAIN:
            return Source(name, PLAIN, str(Path(name).absolute()), size=Path(name).stat().st_size)
        member = csv_member(name, name=name) if kind == ZIP else ""
    return Source(
        name,
        kind,
        str(Path(name).absolute()),
        spool=spool,
        member=member,
        max_decompressed_bytes=max_decompressed_bytes,
        max_ratio=max_ratio,
    )


def _kind(path: Path) -> str:
    if not stat.S_ISREG(path.stat().st_mode):
        raise SourceUnavailable(f"{path} is not a regular file.", hint="Give a file, or - to read standard input.")
    with path.open("rb") as file:
        return kind_of(file.read(8), name=str(path))


def kind_of(start: bytes, *, name: str) -> str:
    """
    "plain", "gzip", "zstd" or "zip", told by the first 8 bytes.

    Raises:
        UnsupportedArchive: another kind of archive, or a workbook.
    """
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            return kind
    for magic, what in ((b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (b"7z\xbc\xaf'\x1c", "7z"), (b"Rar!", "RAR")):
        if start.startswith(magic):
            raise UnsupportedArchive(f"{name} is a {what} archive.", hint="Unpack it, or pack it as .gz, .zst or .zip.")
    if start.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise UnsupportedArchive(f"{name} is an old Excel workbook.", hint="Save it as CSV UTF-8 and load that.")
    return PLAIN


def csv_member(file: str | BinaryIO, *, name: str) -> str:
    """
    The name of the one CSV in a .zip.

    Args:
        file: its path, or a seekable file.
    Raises:
        UnsupportedArchive: there is not exactly one, or it is encrypted.
    """
    with zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if not member.is_dir() and not _is_clutter(member.filename)]
    names = [member.filename for member in members]
    if "[Content_Types].xml" in names:
        raise UnsupportedArchive(f"{name} is an Excel workbook.", hint="Save it as CSV UTF-8 and load that.")
    likely = [member for member in members if member.filename.lower().endswith(MEMBER_SUFFIXES)]
    chosen = likely or members
    if len(chosen) != 1:
        listed = ", ".join(names[:10]) + (", …" if len(names) > 10 else "") or "nothing"
        raise UnsupportedArchive(
            f"{name} should hold exactly one CSV file, but holds: {listed}.", hint="Pack each CSV on its own."
        )
    if chosen[0].flag_bits & 0x1:
        raise UnsupportedArchive(f"{chosen[0].filename} in {name} is encrypted.", hint="Pack it without a password.")
    return chosen[0].filename


def _is_clutter(filename: str) -> bool:
    return filename.startswith("__MACOSX/") or Path(filename).name in (".DS_Store", "Thumbs.db")


def _from_standard_input(block_bytes: int) -> Iterator[bytes]:
    block = sys.stdin.buffer.read(block_bytes)
    packed = next((kind for magic, kind in _MAGIC if block.startswith(magic)), None)
    if packed is not None:
        raise UnsupportedArchive(
            f"Standard input is {packed} data.", hint="Give the file's name, or unpack it on the way."
        )
    while block:
        yield block
        block = sys.stdin.buffer.read(block_bytes)


def unpacked(kind: str, file: BinaryIO, *, name: str, member: str = "") -> Iterator[bytes]:
    """
    The decompressed bytes of a packed file, in blocks of at most 32 MiB.

    Args:
        kind: "gzip", "zstd" or "zip".
        file: the packed bytes; seekable for a .zip.
        member: which of a .zip.
    Raises:
        CorruptArchive: it ends too early or is damaged.
    """
    with translated(name):
        yield from _UNPACK[kind](file, name, member)


def _unpack_gzip(file: BinaryIO, name: str, _member: str) -> Iterator[bytes]:
    """All members of a gzip file; zero bytes behind the last one are padding (RFC 1952, gzip's own practice)."""
    data = file.read(READ_BYTES)
    while data:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not member.eof:
            if not data:
                raise _truncated(name)
            block = member.decompress(data, 1 << 20)
            data = member.unconsumed_tail or (b"" if member.eof else file.read(READ_BYTES))
            if block:
                yield block
        data = (member.unused_data or file.read(READ_BYTES)).lstrip(b"\0")
        while not data and (more := file.read(READ_BYTES)):
            data = more.lstrip(b"\0")


def _unpack_zstd(file: BinaryIO, name: str, _member: str) -> Iterator[bytes]:
    frames = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    data = file.read(ZSTD_READ_BYTES)
    while data:
        frame = frames.decompressobj()
        while not frame.eof:
            if not data:
                raise _truncated(name)
            # A packed KiB unpacks to 32 MiB at most (RFC 8878: 4 bytes can stand for a block of 128 KiB).
            block = frame.decompress(data[:ZSTD_STEP])
            data = (frame.unused_data if frame.eof else b"") + data[ZSTD_STEP:] or file.read(ZSTD_READ_BYTES)
            if block:
                yield block


def _unpack_zip(file: BinaryIO, _name: str, member: str) -> Iterator[bytes]:
    with zipfile.ZipFile(file) as archive, archive.open(member) as opened:
        while block := opened.read(1 << 20):
            yield block


_UNPACK: dict[str, Callable[[BinaryIO, str, str], Iterator[bytes]]] = {
    GZIP: _unpack_gzip,
    ZSTD: _unpack_zstd,
    ZIP: _unpack_zip,
}


def without_first(blocks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """The same bytes but for the first `count`."""
    for block in blocks:
        if count < len(block):
            yield block[count:]
        count = max(0, count - len(block))


def within_limits(
    blocks: Iterator[bytes], *, name: str, packed_bytes: int | None, max_bytes: int | None, max_ratio: float | None
) -> Iterator[bytes]:
    """
    The same blocks, as long as they do not become too many.

    Args:
        packed_bytes: size of the packed file; None: the ratio cannot be judged.
        max_bytes, max_ratio: see `Source`.
    Raises:
        DecompressionLimit: they do.
    """
    total = 0
    for block in blocks:
        total += len(block)
        if max_bytes is not None and total > max_bytes:
            raise DecompressionLimit(
                f"{name} unpacks to more than {max_bytes:,} bytes.", hint="Raise the limit if that is right."
            )
        if packed_bytes is None or max_ratio is None:
            yield block
            continue
        if total > max(RATIO_JUDGED_FROM, packed_bytes * max_ratio):
            raise DecompressionLimit(
                f"{name} unpacks to more than {max_ratio:g} times its size, as a zip bomb would.",
                hint="Raise the ratio if that is right, or unpack it yourself.",
            )
        yield block


def _truncated(name: str) -> CorruptArchive:
    return CorruptArchive(f"{name} ends in the middle of its compressed data.", hint="Copy it again in full.")


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Errors of the libraries as errors of the reader."""
    try:
        yield
    except EOFError as error:
        raise _truncated(name) from error
    except (zlib.error, zstandard.ZstdError, zipfile.BadZipFile) as error:
        raise CorruptArchive(f"{name} is damaged: {error}.", hint="Copy it again, or pack it again.") from error
    except (NotImplementedError, RuntimeError, zipfile.LargeZipFile) as error:
        if isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError) and "generator" in str(error):
            raise
        raise UnsupportedArchive(f"{name} cannot be unpacked: {error}.", hint="Pack it as .gz.") from error
    except OSError as error:
        raise SourceUnavailable(f"{name} cannot be read: {error.strerror or error}.") from error


def _read_exactly(descriptor: int, offset: int, length: int, name: str) -> bytes:
    parts, have = [], 0
    while have < length:
        part = os.pread(descriptor, length - have, offset + have)
        if not part:
            raise SourceUnavailable(
                f"{name} has no {length} bytes at {offset}.",
                hint="It was cut short since it was planned; load it again.",
            )
        parts.append(part)
        have += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _write_all(file: BinaryIO, block: bytes) -> None:
    """Unbuffered, so that other processes see the bytes at once."""
    view = memoryview(block)
    while len(view):
        view = view[file.write(view) :]


def sample_offsets(size: int) -> list[int]:
    """Where a fingerprint looks, SAMPLE_BYTES at each place."""
    last = max(0, size - SAMPLE_BYTES)
    return sorted({0, last, *(last * index // (SAMPLES + 1) for index in range(1, SAMPLES + 1))})
