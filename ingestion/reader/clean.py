"""Writing a messy CSV anew as plain RFC 4180: UTF-8, commas, doubled quotes, CRLF."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import BinaryIO

import polars as pl

from ingestion.reader.batch import Batch
from ingestion.reader.dialect import Dialect
from ingestion.reader.exact import fields_as_read
from ingestion.reader.read import read_span
from ingestion.reader.source import ByteSource
from ingestion.reader.split import OVERLONG, plan

SPAN_BYTES = 12 << 20
RAGGED = ("missing_columns", "too_many_columns")


@dataclass
class Cleaned:
    """
    Attributes:
        written: records written, ragged ones included; the header does not count.
        ragged: how many of them have another number of fields than the header, by code.
        omitted: records left out, by the code of their first defect, or "blank" and "repeated_header".
    """

    written: int = 0
    ragged: Counter[str] = field(default_factory=Counter)
    omitted: Counter[str] = field(default_factory=Counter)

    @property
    def records(self) -> int:
        """All records of the source."""
        return self.written + self.omitted.total()


def clean(source: ByteSource, dialect: Dialect, out: BinaryIO, *, max_record_bytes: int = 1 << 20) -> Cleaned:
    """
    Write every readable record of a source with all its fields as read; the header first, when there is one.

    Ragged records keep their own number of fields, so that nothing readable is lost.

    Args:
        out: binary file to write to.
    """
    cleaned = Cleaned()
    if dialect.has_header:
        out.write(_rows_as_csv([dialect.header]))
    for span in plan(source.blocks(), dialect=dialect, target_bytes=SPAN_BYTES, max_record_bytes=max_record_bytes):
        data = b"" if span.quoting == OVERLONG else source.read(span.offset, span.length)
        batch = read_span(data, span=span, dialect=dialect, max_record_bytes=max_record_bytes)
        out.write(_as_csv(batch, dialect, cleaned))
    return cleaned


def _as_csv(batch: Batch, dialect: Dialect, cleaned: Cleaned) -> bytes:
    for kind, ordinals in batch.ignored.items():
        cleaned.omitted.update({kind: len(ordinals)} if len(ordinals) else {})
    codes: dict[int, str] = {}
    for defect in batch.defects:
        codes.setdefault(defect.ordinal, defect.code)
    ragged = {ordinal: code for ordinal, code in codes.items() if code in RAGGED}
    cleaned.omitted.update(code for code in codes.values() if code not in RAGGED)
    cleaned.ragged.update(ragged.values())
    cleaned.written += batch.table.height + len(ragged)
    if not ragged:
        return _table_as_csv(batch.table)
    rows = dict(zip(batch.ordinals.tolist(), batch.table.iter_rows(), strict=True))
    rows.update({ordinal: tuple(fields_as_read(batch.raw(ordinal), dialect=dialect)) for ordinal in ragged})
    return _rows_as_csv(row for _, row in sorted(rows.items()))


def _table_as_csv(table: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    cells = pl.all()
    table = table.select(pl.when(cells == "").then(None).otherwise(cells).name.keep())  # Polars writes "" as '""'
    table.write_csv(out, include_header=False, line_terminator="\r\n", quote_style="necessary")
    return out.getvalue()


def _rows_as_csv(rows: Iterable[tuple[str, ...]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()
