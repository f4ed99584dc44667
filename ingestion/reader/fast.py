"""Reading well-formed records all at once with Apache Arrow's CSV reader, and only those."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from ingestion.reader.dialect import Dialect
from ingestion.reader.exact import BLANK_TEXT, header_texts
from ingestion.reader.records import CR, LF, SPACE, TAB, Offsets, RecordParser

BOM = b"\xef\xbb\xbf"
SAMPLED_RECORDS = 8
SLICE = 1 << 18
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class FastRows:
    """
    Attributes:
        table: rows of the right width that are neither blank nor a repeated header.
        ordinals: their numbers, counted from 0 over all rows given.
        blank, repeated: numbers of the rows left out.
        ragged: numbers of the rows that Arrow would have had to pad or cut: the exact reader must judge them.
        padded: some field begins or ends with a space or non-breaking space.
    """

    table: pl.DataFrame
    ordinals: Offsets
    blank: Offsets
    repeated: Offsets
    ragged: Offsets
    padded: bool

    @property
    def rows(self) -> int:
        """All rows that were given."""
        return len(self.ordinals) + len(self.blank) + len(self.repeated) + len(self.ragged)


def parse(text: bytes, *, dialect: Dialect, quoted: bool, spanning: bool) -> FastRows:
    """
    Args:
        text: UTF-8 records, proved to be well-formed; not empty, no NUL.
        quoted: there are quotes.
        spanning: quoted fields contain line ends.
    """
    lead = int(text.startswith(BOM))  # Arrow would swallow it: an empty first record protects it
    text = b"\n" + text if lead else text
    table, ragged = _arrow(text, dialect, quoted, spanning, _physical_width(text, dialect))
    ordinals = np.arange(table.num_rows + len(ragged), dtype=np.int64)
    if len(ragged):
        ordinals = np.delete(ordinals, ragged)
    if lead:
        table, ordinals, ragged = table.slice(1), ordinals[1:] - 1, ragged - 1
    return _sorted_out(_Columns(table), text, dialect, ordinals, ragged)


def _arrow(text: bytes, dialect: Dialect, quoted: bool, spanning: bool, width: int) -> tuple[pa.Table, Offsets]:
    ragged: list[int] = []

    def skip(row: Any) -> str:
        ragged.append(row.number - 1)
        return "skip"

    names = [f"c{index}" for index in range(width)]
    table = arrow_csv.read_csv(
        pa.BufferReader(text),
        read_options=arrow_csv.ReadOptions(use_threads=False, column_names=names, block_size=len(text) + 1),
        parse_options=arrow_csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote if quoted and dialect.quote else False,
            double_quote=True,
            escape_char=False,
            newlines_in_values=spanning,
            ignore_empty_lines=False,
            invalid_row_handler=skip,
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            check_utf8=False,
            strings_can_be_null=False,
            quoted_strings_can_be_null=False,
        ),
    )
    return table, np.array(ragged, dtype=np.int64)


def _physical_width(text: bytes, dialect: Dialect) -> int:
    """Columns of the first records: more than the header has where every line ends in blank fields."""
    parser = RecordParser(
        delimiter=dialect.delimiter, quote=dialect.quote, escape=dialect.escape, columns=None, limit=len(text)
    )
    pos = 0
    widths: list[int] = []
    while pos < len(text) and len(widths) < SAMPLED_RECORDS:
        parsed = parser.parse(text, pos, eof=True)
        widths.append(len(parsed.fields))
        pos = parsed.end
    return max(dialect.columns, min(max(set(widths), key=widths.count), dialect.columns + 1000))


class _Columns:
    """An Arrow table of strings with the offsets and bytes of its columns at hand."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.arrays = [
            column.combine_chunks() if column.num_chunks != 1 else column.chunk(0) for column in table.columns
        ]

    def buffers(self, index: int) -> tuple[npt.NDArray[np.int32], Bytes]:
        array = self.arrays[index]
        _, offsets, values = array.buffers()
        bounds = np.frombuffer(offsets, dtype=np.int32, count=len(array) + 1, offset=4 * array.offset)
        if values is None or not values.size:
            return bounds, np.empty(0, dtype=np.uint8)
        return bounds, np.frombuffer(values, dtype=np.uint8)

    def texts(self, index: int, rows: Offsets) -> list[str]:
        taken: list[str] = self.arrays[index].take(pa.array(rows)).to_pylist()
        return taken


def _sorted_out(columns: _Columns, text: bytes, dialect: Dialect, ordinals: Offsets, ragged: Offsets) -> FastRows:
    surplus = _surplus_rows(columns, dialect.columns)
    blank = _blank_rows(columns)
    repeated = _header_rows(columns, dialect)
    surplus = np.setdiff1d(surplus, blank, assume_unique=True)
    left_out = reduce(np.union1d, (blank, repeated, surplus))
    frame = _polars(columns.table.select(range(dialect.columns)))
    kept = ordinals
    if len(left_out):
        keep = np.ones(len(ordinals), dtype=np.bool_)
        keep[left_out] = False
        frame, kept = frame.filter(pl.Series(keep)), ordinals[keep]
    return FastRows(
        table=frame,
        ordinals=kept,
        blank=ordinals[blank],
        repeated=ordinals[repeated],
        ragged=np.sort(np.concatenate((ragged, ordinals[surplus]))),
        padded=_is_padded(columns, text),
    )


def _polars(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _blank_rows(columns: _Columns) -> Offsets:
    """Rows whose fields are all empty or white space: most fall out at the first column."""
    rows = _blank_candidates(columns, 0)
    for index in range(columns.table.num_columns):
        if not len(rows):
            break
        rows = _still_blank(columns, index, rows)
    return rows


def _blank_candidates(columns: _Columns, index: int) -> Offsets:
    bounds, values = columns.buffers(index)
    if len(bounds) < 2:
        return np.empty(0, dtype=np.int64)
    empty = bounds[1:] == bounds[:-1]
    if not len(values):
        return np.flatnonzero(empty)
    first = values[np.minimum(bounds[:-1], len(values) - 1)]
    return np.flatnonzero(empty | (first <= SPACE) | (first == 0xC2))


def _still_blank(columns: _Columns, index: int, rows: Offsets) -> Offsets:
    bounds, _ = columns.buffers(index)
    empty = bounds[rows + 1] == bounds[rows]
    doubtful = rows[~empty]
    if not len(doubtful):
        return rows
    texts = pc.utf8_trim(columns.arrays[index].take(pa.array(doubtful)), characters=BLANK_TEXT)
    blank = pc.equal(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    return np.sort(np.concatenate((rows[empty], doubtful[blank])))


def _surplus_rows(columns: _Columns, width: int) -> Offsets:
    """Rows with something in a column behind the header's."""
    found: list[Offsets] = [np.empty(0, dtype=np.int64)]
    for index in range(width, columns.table.num_columns):
        bounds, _ = columns.buffers(index)
        filled = np.flatnonzero(bounds[1:] != bounds[:-1])
        found.append(np.setdiff1d(filled, _still_blank(columns, index, filled), assume_unique=True))
    return reduce(np.union1d, found)


def _header_rows(columns: _Columns, dialect: Dialect) -> Offsets:
    if not dialect.has_header or not columns.table.num_rows:
        return np.empty(0, dtype=np.int64)
    accepted = header_texts(dialect)
    bounds, values = columns.buffers(0)
    rows = _starting_like(bounds, values, accepted[0])
    for index, texts in enumerate(accepted):
        if not len(rows):
            break
        cells = columns.texts(index, rows)
        rows = rows[[cell.strip(BLANK_TEXT) in texts for cell in cells]]
    for index in range(dialect.columns, columns.table.num_columns):
        rows = _still_blank(columns, index, rows) if len(rows) else rows
    return rows


def _starting_like(bounds: npt.NDArray[np.int32], values: Bytes, texts: tuple[str, ...]) -> Offsets:
    """Rows whose first field may be one of `texts`: judged by length and first byte, or by white space before it."""
    lengths = bounds[1:] - bounds[:-1]
    if not len(values):
        return np.flatnonzero(lengths == 0) if "" in texts else np.empty(0, dtype=np.int64)
    first = values[np.minimum(bounds[:-1], len(values) - 1)]
    last = values[np.maximum(bounds[1:] - 1, 0)]
    likely = (lengths > 0) & ((first <= SPACE) | (first == 0xC2) | (last <= SPACE) | (last == 0xA0))
    for text in texts:
        raw = text.encode()
        likely |= (lengths == len(raw)) & ((first == raw[0]) if raw else True)
    return np.flatnonzero(likely)


def _is_padded(columns: _Columns, text: bytes) -> bool:
    if b"\xc2" in text and b"\xc2\xa0" in text:
        return True
    return any(_has_padding(columns, index) for index in range(columns.table.num_columns))


def _has_padding(columns: _Columns, index: int) -> bool:
    bounds, values = columns.buffers(index)
    window = values[bounds[0] : bounds[-1]] if len(bounds) > 1 else values[:0]
    spaces = window == SPACE
    if not spaces.any():
        return False
    filled = bounds[1:] > bounds[:-1]
    firsts, lasts = bounds[:-1][filled] - bounds[0], bounds[1:][filled] - 1 - bounds[0]
    return bool(spaces[firsts].any() or spaces[lasts].any())


def has_controls(text: bytes, *, delimiter: str) -> bool:
    """Whether UTF-8 text has control characters other than line ends and the delimiter."""
    if b"\x7f" in text:
        return True
    allowed = (LF, CR, TAB) if delimiter == "\t" else (LF, CR)
    for start in range(0, len(text), SLICE):
        window = np.frombuffer(text, dtype=np.uint8, count=min(SLICE, len(text) - start), offset=start)
        low = int(np.count_nonzero(window < SPACE))
        if low and low != sum(int(np.count_nonzero(window == code)) for code in allowed):
            return True
    return b"\xc2" in text and _has_c1(text)


def _has_c1(text: bytes) -> bool:
    """U+0080 to U+009F are 0xC2 0x80 to 0xC2 0x9F in UTF-8."""
    for start in range(0, len(text), SLICE):
        window = np.frombuffer(text, dtype=np.uint8, count=min(SLICE + 1, len(text) - start), offset=start)
        if ((window[:-1] == 0xC2) & (window[1:] < 0xA0)).any():
            return True
    return False
