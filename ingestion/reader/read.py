"""Reading one span: the fast way for what was proved well-formed, the exact way for everything else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from ingestion.reader import fast
from ingestion.reader.batch import Batch
from ingestion.reader.dialect import Dialect
from ingestion.reader.encoding import shadow, to_utf8
from ingestion.reader.errors import SpanMismatch
from ingestion.reader.exact import Defect, ExactReader, Judged, structural_message
from ingestion.reader.records import Flags, Offsets, RecordParser, Scan, scan_all
from ingestion.reader.split import NONE, OVERLONG, Span

DECODE_SLICE = 1 << 16  # code units decoded at once when looking for invalid bytes
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
NO_ROWS = np.empty(0, dtype=np.int64)


@dataclass
class _Outcome:
    """Records gathered one way or the other."""

    table: pl.DataFrame
    ordinals: Offsets
    defects: list[Defect] = field(default_factory=list)
    blank: Offsets = field(default_factory=lambda: NO_ROWS)
    repeated: Offsets = field(default_factory=lambda: NO_ROWS)
    controls: bool = False
    padded: bool = False


def read_span(data: bytes, *, span: Span, dialect: Dialect, max_record_bytes: int = 1 << 20) -> Batch:
    """
    All records of a span.

    Args:
        data: exactly the span's bytes; empty for an "overlong" one.
        max_record_bytes: the same as given to `plan`.
    Raises:
        SpanMismatch: the bytes are not those that were planned.
    """
    if span.quoting == OVERLONG:
        return _overlong(span, dialect, max_record_bytes)
    if len(data) != span.length:
        raise SpanMismatch(
            f"Span {span.number} is {span.length} bytes long, but {len(data)} were read.",
            hint="The file has changed since it was planned; load it again.",
        )
    return _Reader(data, span, dialect, max_record_bytes).batch()


class _Reader:
    def __init__(self, data: bytes, span: Span, dialect: Dialect, max_record_bytes: int) -> None:
        self.data = data
        self.span = span
        self.dialect = dialect
        self.parser = RecordParser.of(dialect, max_record_bytes=max_record_bytes)
        self.shadow = shadow(data, encoding=dialect.encoding)

    def batch(self) -> Batch:
        outcome = self._fast() or self._exact()
        records = len(outcome.ordinals) + len(outcome.blank) + len(outcome.repeated)
        records += len({defect.ordinal for defect in outcome.defects})
        if records != self.span.records:
            raise SpanMismatch(
                f"Span {self.span.number} was planned with {self.span.records} records and has {records}.",
                hint="The file has changed since it was planned; load it again.",
            )
        return Batch(
            records=records,
            table=outcome.table,
            ordinals=outcome.ordinals,
            defects=outcome.defects,
            ignored={"blank": outcome.blank, "repeated_header": outcome.repeated},
            ascii=self.shadow.isascii(),
            controls=outcome.controls,
            padded=outcome.padded,
            span=self.span,
            data=self.data,
            _find_bounds=self._bounds,
        )

    def _fast(self) -> _Outcome | None:
        """None when the span is not, as a whole, beyond doubt."""
        if self.span.quoting not in (NONE, "clean") or not self.data or b"\0" in self.shadow:
            return None
        if self.span.quoting == NONE and any(mark in self.shadow for mark in self.parser.marks()):
            return None  # not what was planned; the number of records will tell
        try:
            text = to_utf8(self.data, encoding=self.dialect.encoding)
        except UnicodeDecodeError:
            return None
        quoted, spanning = self.span.quoting != NONE, self.span.lines > self.span.records
        rows = fast.parse(text, dialect=self.dialect, quoted=quoted, spanning=spanning)
        if rows.rows != self.span.records:
            return None
        outcome = self._of(rows, text, spanning)
        if len(rows.ragged):
            found = self._scan()
            self._judge(outcome, found, rows.ragged)
        return outcome

    def _of(self, rows: fast.FastRows, text: bytes, spanning: bool) -> _Outcome:
        return _Outcome(
            table=rows.table,
            ordinals=rows.ordinals,
            blank=rows.blank,
            repeated=rows.repeated,
            # A quoted field may hold the delimiter, and a tab in a value is a control character.
            controls=spanning
            or fast.has_controls(text, delimiter=self.dialect.delimiter if self.span.quoting == NONE else ""),
            padded=rows.padded,
        )

    def _exact(self) -> _Outcome:
        """Doubtful records one by one, all others together the fast way."""
        found = self._scan()
        doubtful = found.rough | self._undecodable(found) | self._with_nul(found)
        good = np.flatnonzero(~doubtful)
        outcome, ragged = self._read_good(found, good)
        self._judge(outcome, found, np.sort(np.concatenate((np.flatnonzero(doubtful), ragged))))
        return outcome

    def _read_good(self, found: Scan, good: Offsets) -> tuple[_Outcome, Offsets]:
        if not len(good):
            return _Outcome(_empty(self.dialect.columns), NO_ROWS), NO_ROWS
        text = to_utf8(b"".join(self._runs(found, good)), encoding=self.dialect.encoding)
        spanning = found.line_count > len(found.starts)
        quoted = self.dialect.quote is not None and self.dialect.quote.encode() in text
        rows = fast.parse(text, dialect=self.dialect, quoted=quoted, spanning=spanning)
        if rows.rows != len(good):
            return _Outcome(_empty(self.dialect.columns), NO_ROWS), good
        outcome = self._of(rows, text, spanning)
        outcome.ordinals, outcome.blank, outcome.repeated = good[rows.ordinals], good[rows.blank], good[rows.repeated]
        return outcome, good[rows.ragged]

    def _runs(self, found: Scan, good: Offsets) -> Iterator[bytes]:
        unit, bounds = self.dialect.unit, np.append(found.starts, found.end)
        breaks = np.flatnonzero(np.diff(good) != 1)
        firsts = np.concatenate((good[:1], good[breaks + 1]))
        lasts = np.concatenate((good[breaks], good[-1:]))
        for first, last in zip(bounds[firsts].tolist(), bounds[lasts + 1].tolist(), strict=True):
            yield self.data[first * unit : last * unit]

    def _judge(self, outcome: _Outcome, found: Scan, ordinals: Offsets) -> None:
        """Read these records exactly and put each where it belongs."""
        if not len(ordinals):
            return
        reader = ExactReader(self.data, self.shadow, dialect=self.dialect, parser=self.parser)
        bounds = np.append(found.starts, found.end)
        judged = [
            (ordinal, reader.judge(ordinal, start, stop))
            for ordinal, start, stop in zip(
                ordinals.tolist(), bounds[ordinals].tolist(), bounds[ordinals + 1].tolist(), strict=True
            )
        ]
        outcome.defects.extend(defect for _, result in judged for defect in result.defects)
        outcome.blank = _merged(outcome.blank, _ignored(judged, "blank"))
        outcome.repeated = _merged(outcome.repeated, _ignored(judged, "repeated_header"))
        _add_rows(outcome, [(ordinal, result.row) for ordinal, result in judged if result.row is not None])

    def _undecodable(self, found: Scan) -> Flags:
        """Records with bytes that are invalid in the encoding."""
        flags = np.zeros(len(found.starts), dtype=np.bool_)
        if not len(found.starts) or (self.dialect.unit == 1 and self.data.isascii()):
            return flags
        bounds = np.append(found.starts, found.end)
        edges = np.searchsorted(bounds, np.arange(0, found.end, DECODE_SLICE), side="left")
        edges = np.unique(np.append(edges, len(found.starts)))
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if not self._decodes(int(bounds[first]), int(bounds[last])):
                for record in range(first, last):
                    flags[record] = not self._decodes(int(bounds[record]), int(bounds[record + 1]))
        return flags

    def _decodes(self, start: int, stop: int) -> bool:
        unit = self.dialect.unit
        try:
            self.data[start * unit : stop * unit].decode(self.dialect.encoding)
        except UnicodeDecodeError:
            return False
        return True

    def _with_nul(self, found: Scan) -> Flags:
        flags = np.zeros(len(found.starts), dtype=np.bool_)
        if b"\0" in self.shadow:
            nuls = np.flatnonzero(np.frombuffer(self.shadow, dtype=np.uint8) == 0)
            flags[np.searchsorted(found.starts, nuls, side="right") - 1] = True
        return flags

    def _scan(self) -> Scan:
        return scan_all(self.shadow, parser=self.parser)

    def _bounds(self) -> tuple[Offsets, Offsets]:
        found = self._scan()
        return np.append(found.starts * self.dialect.unit, len(self.data)), found.lines


def _ignored(judged: Iterable[tuple[int, Judged]], kind: str) -> list[int]:
    return [ordinal for ordinal, result in judged if result.ignored == kind]


def _merged(ordinals: Offsets, more: list[int]) -> Offsets:
    return np.sort(np.concatenate((ordinals, np.array(more, dtype=np.int64)))) if more else ordinals


def _empty(columns: int) -> pl.DataFrame:
    return pl.DataFrame(schema={f"c{index}": pl.String for index in range(columns)})


def _add_rows(outcome: _Outcome, rows: list[tuple[int, list[str]]]) -> None:
    """Put exactly read rows into the table, in the order of the file."""
    if not rows:
        return
    added = pl.DataFrame([row for _, row in rows], schema=outcome.table.schema, orient="row")
    ordinals = np.concatenate((outcome.ordinals, np.array([ordinal for ordinal, _ in rows], dtype=np.int64)))
    order = np.argsort(ordinals, kind="stable")
    outcome.table = pl.concat((outcome.table, added), rechunk=True)[order]
    outcome.ordinals = ordinals[order]
    cells = [cell for _, row in rows for cell in row if cell]
    outcome.padded = outcome.padded or any(cell[0] in " \xa0" or cell[-1] in " \xa0" for cell in cells)
    outcome.controls = outcome.controls or any(_CONTROLS.search(cell) is not None for cell in cells)


def _overlong(span: Span, dialect: Dialect, max_record_bytes: int) -> Batch:
    limit = max_record_bytes // dialect.unit
    message = structural_message("record_too_long", None, dialect, limit)
    bounds: Callable[[], tuple[Offsets, Offsets]] = lambda: (np.array([0, span.length]), np.array([0]))  # noqa: E731
    return Batch(
        records=1,
        table=_empty(dialect.columns),
        ordinals=NO_ROWS,
        defects=[Defect(0, "record_too_long", message, None, None)],
        ignored={"blank": NO_ROWS, "repeated_header": NO_ROWS},
        ascii=False,
        controls=False,
        padded=False,
        span=span,
        data=b"",
        _find_bounds=bounds,
    )
