"""Planning and reading a whole file in memory, and putting the pieces together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ingestion.reader import Batch, Dialect, Span, plan, read_span


class Seen(NamedTuple):
    """What became of one record: `fate` is its row, "blank", "repeated_header", or the codes of its defects."""

    raw: bytes
    offset: int
    line: int
    fate: object


def dialect_of(
    *names: str,
    delimiter: str = ",",
    quote: str | None = '"',
    escape: str | None = None,
    encoding: str = "utf-8",
    has_header: bool = True,
    body_offset: int = 0,
) -> Dialect:
    """A dialect for bodies without a header line."""
    return Dialect(encoding, delimiter, quote, escape, "\n", names, body_offset, 1, 0, has_header)


def in_blocks(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def spans_of(
    data: bytes,
    dialect: Dialect,
    *,
    target: int | Callable[[int], int] = 1 << 30,
    block: int = 1 << 20,
    limit: int = 1 << 20,
    key_column: int | None = None,
) -> list[Span]:
    blocks = in_blocks(data, block)
    return list(plan(blocks, dialect=dialect, target_bytes=target, max_record_bytes=limit, key_column=key_column))


def batches_of(data: bytes, dialect: Dialect, spans: list[Span], *, limit: int = 1 << 20) -> list[Batch]:
    return [
        read_span(
            b"" if span.quoting == "overlong" else data[span.offset : span.offset + span.length],
            span=span,
            dialect=dialect,
            max_record_bytes=limit,
        )
        for span in spans
    ]


def all_seen(data: bytes, dialect: Dialect, **options: int) -> list[Seen]:
    """Every record in the order of the file."""
    limit = options.get("limit", 1 << 20)
    spans = spans_of(data, dialect, **options)
    return [seen for batch in batches_of(data, dialect, spans, limit=limit) for seen in seen_in(batch, data)]


def seen_in(batch: Batch, data: bytes) -> list[Seen]:
    fates: dict[int, object] = {}
    for ordinal, row in zip(batch.ordinals.tolist(), batch.table.rows(), strict=True):
        assert ordinal not in fates
        fates[ordinal] = row
    for kind, ordinals in batch.ignored.items():
        for ordinal in ordinals.tolist():
            assert ordinal not in fates
            fates[ordinal] = kind
    codes: dict[int, list[str]] = {}
    for defect in batch.defects:
        codes.setdefault(defect.ordinal, []).append(defect.code)
    assert not set(codes) & set(fates)
    fates.update({ordinal: tuple(found) for ordinal, found in codes.items()})
    assert sorted(fates) == list(range(batch.records))
    located = batch.locate(range(batch.records))
    places = zip(located.offset.tolist(), located.length.tolist(), located.line.tolist(), strict=True)
    return [
        Seen(data[offset : offset + length], offset, line, fates[ordinal])
        for ordinal, (offset, length, line) in enumerate(places)
    ]
