"""
The files people mend rejects with: failed.csv (original bytes) and errors.csv (explanations).

Both are made as a stream of parts, for a file or for an HTTP response: page by page along the key, so that neither
memory nor a transaction grows with the number of rejects.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from django.db.models import QuerySet

from ingestion.models import Import, Reject, Source as SourceRow
from ingestion.opening import source_from_descriptor
from ingestion.reader import ReaderError
from ingestion.rejects import RAW_LIMIT_BYTES

COPY_BYTES: Final = 1 << 20
PAGE_RECORDS: Final = 1000
PAGE_BYTES: Final = 4 << 20
"""Original bytes of records that are read at once; a single one may have up to `RAW_LIMIT_BYTES`."""
PART_BYTES: Final = 1 << 18
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

    Sources with different headers get a file each: failed-1.csv, failed-2.csv, ….

    Args:
        directory: made if need be; files of an earlier run are replaced.
    Returns:
        the paths written, failed files first.
    """
    directory.mkdir(parents=True, exist_ok=True)
    sources = list(SourceRow.objects.filter(owner=owner).order_by("number"))
    groups = alike_groups(sources)
    written = []
    for number, group in enumerate(groups, start=1):
        name = "failed.csv" if len(groups) == 1 else f"failed-{number}.csv"
        if _rejected(owner, group).exists():
            written.append(_write(directory / name, failed_parts(owner=owner, sources=group)))
    return [*written, _write(directory / "errors.csv", error_parts(owner=owner, sources=sources))]


def alike_groups(sources: list[SourceRow]) -> list[list[SourceRow]]:
    """Sources whose rejects may stand in one file: all of them, if they begin with the same bytes; else each alone."""
    alike = len({bytes(source.preface) for source in sources}) <= 1
    return [sources] if alike else [[source] for source in sources]


def _write(path: Path, parts: Iterable[bytes]) -> Path:
    """Written beside the target and renamed, so that nobody reads half a file."""
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as out:
        out.writelines(parts)
    partial.replace(path)
    return path


# failed.csv


def failed_parts(*, owner: Import, sources: list[SourceRow]) -> Iterator[bytes]:
    """
    failed.csv: each rejected record once, byte for byte, behind the bytes that stood before the first record (header
    and all), so that it can be mended and loaded again.

    Args:
        sources: with the same preface; the records of no others are in it.
    """
    by_number = {source.number: source for source in sources}
    held, size = [bytes(sources[0].preface)], len(sources[0].preface)
    for number, offset, length, raw in _rejected_records(owner, sources):
        for part in _ended(by_number[number], offset, length, raw):
            held.append(part)
            size += len(part)
            if size >= PART_BYTES:
                yield b"".join(held)
                held, size = [], 0
    if size:
        yield b"".join(held)


def _rejected(owner: Import, sources: list[SourceRow]) -> QuerySet[Reject]:
    numbers = [source.number for source in sources]
    return Reject.objects.filter(owner=owner, source__in=numbers, position=0).order_by("record")


def _rejected_records(owner: Import, sources: list[SourceRow]) -> Iterator[tuple[int, int, int, bytes | None]]:
    """(source, offset, length, original bytes where they are kept) of each rejected record, in file order."""
    rejected = _rejected(owner, sources)
    after = 0
    while page := list(rejected.filter(record__gt=after).values_list("record", "length")[:PAGE_RECORDS]):
        for last in _ends_of_groups(page):
            rows = rejected.filter(record__gt=after, record__lte=last)
            for number, offset, length, raw in rows.values_list("source", "offset", "length", "raw"):
                yield number, offset, length, None if raw is None else bytes(raw)
            after = last


def _ends_of_groups(page: list[tuple[int, int]]) -> Iterator[int]:
    """The last record of each group of records that may be in memory together."""
    size = 0
    for place, (record, length) in enumerate(page):
        size += min(length, RAW_LIMIT_BYTES)
        if size >= PAGE_BYTES or place == len(page) - 1:
            yield record
            size = 0


def _ended(source: SourceRow, offset: int, length: int, raw: bytes | None) -> Iterator[bytes]:
    """The record, with a line end behind it if it has none of its own (the last one of a file)."""
    newline = "\n".encode(source.dialect["encoding"])
    last = b""
    for part in _record_bytes(source, offset, length, raw):
        yield part
        last = part[-len(newline) :]
    if last not in (newline, newline.replace(b"\n", b"\r")):
        yield newline


def _record_bytes(source: SourceRow, offset: int, length: int, raw: bytes | None) -> Iterator[bytes]:
    """The record as it stood in the source; a very long one is copied from there in pieces."""
    if raw is not None:
        yield raw
        return
    reader = source_from_descriptor(source.descriptor)
    for start in range(0, length, COPY_BYTES):
        try:
            yield reader.read(offset + start, min(COPY_BYTES, length - start))
        except ReaderError:
            # The source is gone; errors.csv still says where the record stood.
            return


# errors.csv


def error_parts(*, owner: Import, sources: list[SourceRow]) -> Iterator[bytes]:
    """errors.csv: a line for each error, for people; texts are harmless in a spreadsheet. In UTF-8."""
    names = {source.number: harmless(source.name) for source in sources}
    yield _csv([ERROR_COLUMNS])
    for page in _error_pages(owner, names):
        yield _csv(_error_row(reject, names) for reject in page)


def _error_pages(owner: Import, names: dict[int, str]) -> Iterator[list[Reject]]:
    errors = Reject.objects.filter(owner=owner, source__in=names).defer("raw").order_by("record", "position")
    page = list(errors[:PAGE_RECORDS])
    while page:
        yield page
        last = page[-1]
        # The first condition alone lets the index begin there.
        rest = errors.filter(record__gte=last.record).exclude(record=last.record, position__lte=last.position)
        page = list(rest[:PAGE_RECORDS])


def _csv(rows: Iterable[Iterable[object]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def _error_row(reject: Reject, names: dict[int, str]) -> tuple[object, ...]:
    return (
        names[reject.source],
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
