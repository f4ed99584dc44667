"""The files people mend rejects with: failed.csv (original bytes) and errors.csv (explanations)."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from django.db.models import QuerySet

from ingestion.models import Import, Reject, Source as SourceRow
from ingestion.reader import ReaderError, Source

COPY_BYTES: Final = 1 << 20
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
ERROR_COLUMNS: Final = (
    "source",
    "record",
    "line",
    "byte_offset",
    "byte_length",
    "column_number",
    "column_name",
    "code",
    "message",
    "value",
)


def harmless(text: str) -> str:
    """
    A text that no spreadsheet takes for a formula (OWASP, "CSV Injection").

    What begins with = + - @, a tab or a carriage return gets an apostrophe in front.
    """
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def write_reject_files(*, owner: Import, directory: Path) -> list[Path]:
    """
    Write failed.csv and errors.csv of an import.

    failed.csv holds each rejected record once, byte for byte, behind the bytes that stood before the first record
    (header and all), so that it can be mended and loaded again. Sources with different headers get a file each:
    failed-1.csv, failed-2.csv, ….

    Args:
        directory: made if need be; files of an earlier run are replaced.
    Returns:
        the paths written, failed files first.
    """
    directory.mkdir(parents=True, exist_ok=True)
    sources = list(SourceRow.objects.filter(owner=owner).order_by("number"))
    alike = len({bytes(source.preface) for source in sources}) == 1
    groups = [sources] if alike else [[source] for source in sources]
    written = []
    for number, group in enumerate(groups, start=1):
        name = "failed.csv" if len(groups) == 1 else f"failed-{number}.csv"
        if _rejects(owner, group).exists():
            written.append(_write_failed(directory / name, owner, group))
    return [*written, _write_errors(directory / "errors.csv", owner, sources)]


def _rejects(owner: Import, sources: list[SourceRow]) -> QuerySet[Reject]:
    numbers = [source.number for source in sources]
    return Reject.objects.filter(owner=owner, source__in=numbers, position=0).order_by("record")


def _write_failed(path: Path, owner: Import, sources: list[SourceRow]) -> Path:
    """Written beside the target and renamed, so that nobody reads half a file."""
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as out:
        _failed(out, owner, sources)
    partial.replace(path)
    return path


def _failed(out: BinaryIO, owner: Import, sources: list[SourceRow]) -> None:
    by_number = {source.number: source for source in sources}
    out.write(bytes(sources[0].preface))
    for reject in _rejects(owner, sources).iterator(chunk_size=1000):
        source = by_number[reject.source]
        newline = "\n".encode(source.dialect["encoding"])
        last = b""
        for part in _record_bytes(reject, source):
            out.write(part)
            last = part[-len(newline) :]
        if last not in (newline, newline.replace(b"\n", b"\r")):
            out.write(newline)


def _record_bytes(reject: Reject, source: SourceRow) -> Iterator[bytes]:
    """The record as it stood in the source; a very long one is copied from there in pieces."""
    if reject.raw is not None:
        yield bytes(reject.raw)
        return
    reader = Source.from_descriptor(source.descriptor)
    for start in range(0, reject.length, COPY_BYTES):
        try:
            yield reader.read(reject.offset + start, min(COPY_BYTES, reject.length - start))
        except ReaderError:
            # The source is gone; errors.csv still says where the record stood.
            return


def _write_errors(path: Path, owner: Import, sources: list[SourceRow]) -> Path:
    names = {source.number: source.name for source in sources}
    partial = path.with_name(path.name + ".part")
    with partial.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(ERROR_COLUMNS)
        for reject in Reject.objects.filter(owner=owner).order_by("record", "position").iterator(chunk_size=2000):
            writer.writerow(_error_row(reject, names))
    partial.replace(path)
    return path


def _error_row(reject: Reject, names: dict[int, str]) -> tuple[object, ...]:
    return (
        harmless(names[reject.source]),
        reject.record,
        reject.line,
        reject.offset,
        reject.length,
        reject.column_number or "",
        harmless(reject.column_name),
        reject.code,
        harmless(reject.message),
        harmless(reject.value or ""),
    )
