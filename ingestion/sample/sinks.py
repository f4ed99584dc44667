"""Files to write to, compressed as their name says."""

import gzip
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final, cast

import zstandard

# Fast levels: a sample is read once or twice.
GZIP_LEVEL: Final = 3
ZSTD_LEVEL: Final = 3


@contextmanager
def open_sink(path: Path) -> Iterator[IO[bytes]]:
    """
    A file to write a sample to; `.gz`, `.zst` and `.zip` are compressed.

    The file appears under its name only when it is complete.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(partial.open("wb"))
            yield _compressor(raw, path, stack)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _compressor(raw: IO[bytes], path: Path, stack: ExitStack) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        compressor = gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0)
        stack.callback(compressor.close)
        return cast(IO[bytes], compressor)
    if suffix == ".zst":
        return stack.enter_context(zstandard.ZstdCompressor(level=ZSTD_LEVEL).stream_writer(raw, closefd=False))
    if suffix == ".zip":
        archive = stack.enter_context(zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=GZIP_LEVEL))
        name = path.stem if path.stem.endswith(".csv") else f"{path.stem}.csv"
        entry = zipfile.ZipInfo(name)
        entry.compress_type = zipfile.ZIP_DEFLATED
        return stack.enter_context(archive.open(entry, "w", force_zip64=True))
    return raw
