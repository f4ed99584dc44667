"""
Where records end: the exact rules, and a vectorised scan that applies them to many records at once.

`RecordParser` is the definition; `scan` proves with numpy which lines are well-formed records of their own and asks the
parser only about the others. Both work on the shadow (see encoding.py), so offsets are code units.

A record damaged in a quoted field ends at the first line end after that field's opening quote, so one stray quote
costs one line. Where earlier fields of the record span lines, an unclosed quote is put down to the first of them: then
the rule gives the same answer whether the bytes behind are known (planner) or not (a worker with only its span).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ingestion.reader.dialect import Dialect

Offsets = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

BLANKS = b" \t\r\n\v\f"
SURPLUS_LIMIT = 64  # blank surplus fields after which a record over several lines is given up: bounds the look-ahead
LF, CR, SPACE, TAB = 10, 13, 32, 9
SCAN_WINDOW = 1 << 19  # code units scanned at once
MANY_ODD_LINES = 16  # from which it pays to prove that quoted fields span lines


class NeedMore(Exception):
    """The end of the record lies behind the bytes at hand."""


class Parsed(NamedTuple):
    """One record: `fields` are (start, stop, quoted); `tidy` means any strict CSV reader would agree."""

    end: int
    fields: list[tuple[int, int, bool]]
    code: str | None = None
    column: int | None = None
    tidy: bool = False


class RecordParser:
    """
    Reads one record at a known start.

    Args:
        columns: expected number of columns, None to accept any.
        limit: longest record in code units, without its line end.
    """

    def __init__(
        self, *, delimiter: str, quote: str | None, escape: str | None, columns: int | None, limit: int
    ) -> None:
        self.delimiter = delimiter.encode("ascii")
        self.quote = quote.encode("ascii") if quote else None
        self.escape = escape.encode("ascii") if escape else None
        self.columns = columns
        self.limit = limit
        self._delimiter = ord(delimiter)
        self._quote = ord(quote) if quote else -1
        self._escape = ord(escape) if escape else -1

    @classmethod
    def of(cls, dialect: Dialect, *, max_record_bytes: int) -> RecordParser:
        """The parser of a dialect."""
        return cls(
            delimiter=dialect.delimiter,
            quote=dialect.quote,
            escape=dialect.escape,
            columns=dialect.columns,
            limit=max_record_bytes // dialect.unit,
        )

    def marks(self) -> tuple[bytes, ...]:
        """The bytes without which every line is a record."""
        return tuple(mark for mark in (self.quote, self.escape) if mark)

    def parse(self, data: bytes, start: int, *, eof: bool) -> Parsed:
        """
        The record at `start`.

        Args:
            eof: nothing follows `data`.
        Raises:
            NeedMore: the record may end behind `data`.
        """
        limit = start + self.limit
        first_end = line_end = self.line_end(data, start, limit, eof)
        if line_end < 0:
            return Parsed(-1, [], "record_too_long")
        fields: list[tuple[int, int, bool]] = []
        spanning: int | None = None
        pos, tidy = start, True
        while True:
            if pos < line_end and data[pos] == self._quote:
                opened_on = line_end
                close = self._closing_quote(data, pos + 1, limit, eof)
                if close > line_end:
                    spanning = len(fields) if spanning is None else spanning
                    line_end = self.line_end(data, close + 1, limit, eof)
                if close < 0 or line_end < 0:
                    return self._unterminated(data, first_end, spanning, fields)
                after = self._skip_padding(data, close + 1, line_end)
                tidy = tidy and after == close + 1
                fields.append((pos + 1, close, True))
                if after < line_end and data[after] != self._delimiter:
                    if close > opened_on:
                        return self._unterminated(data, first_end, spanning, fields)
                    return Parsed(after_terminator(data, line_end), fields, "stray_quote", len(fields) - 1)
                stop = after if after < line_end else -1
            else:
                stop = self._next_delimiter(data, pos, line_end)
                fields.append((pos, line_end if stop < 0 else stop, False))
            if spanning is not None and self._is_surplus(data, fields):
                return self._unterminated(data, first_end, spanning, fields)
            if stop < 0:
                break
            pos = stop + 1
        if spanning is not None and self.columns is not None and len(fields) < self.columns:
            return self._unterminated(data, first_end, spanning, fields)
        escaped = self.escape is not None and data.find(self.escape, start, line_end) >= 0
        return Parsed(after_terminator(data, line_end), fields, tidy=tidy and not escaped)

    def line_end(self, data: bytes, pos: int, limit: int, eof: bool) -> int:
        """Offset of the first line end at or after `pos`, or -1 when there is none up to `limit`."""
        stop = limit + 1
        end = data.find(b"\n", pos, stop)
        carriage = data.find(b"\r", pos, stop if end < 0 else end)
        end = end if carriage < 0 else carriage
        if end >= 0:
            if end + 1 == len(data) and data[end] == CR and not eof:
                raise NeedMore
            return end
        if len(data) > limit:
            return -1
        if eof:
            return len(data)
        raise NeedMore

    def _closing_quote(self, data: bytes, pos: int, limit: int, eof: bool) -> int:
        assert self.quote is not None
        while True:
            found = self._next_quote(data, pos, limit)
            if found < 0:
                if len(data) < limit and not eof:
                    raise NeedMore
                return -1
            if found + 1 == len(data):
                if eof:
                    return found
                raise NeedMore
            if data[found + 1] != self._quote:
                return found
            pos = found + 2

    def _next_quote(self, data: bytes, pos: int, limit: int) -> int:
        assert self.quote is not None
        found = data.find(self.quote, pos, limit)
        if self.escape is None:
            return found
        while True:
            escaped = data.find(self.escape, pos, limit if found < 0 else found)
            if escaped < 0:
                return found
            pos = escaped + 2
            if found < pos:
                found = data.find(self.quote, pos, limit)

    def _next_delimiter(self, data: bytes, pos: int, line_end: int) -> int:
        found = data.find(self.delimiter, pos, line_end)
        if self.escape is None:
            return found
        while True:
            escaped = data.find(self.escape, pos, line_end if found < 0 else found)
            if escaped < 0:
                return found
            pos = escaped + 2
            if found < pos:
                found = data.find(self.delimiter, pos, line_end)

    def _skip_padding(self, data: bytes, pos: int, line_end: int) -> int:
        while pos < line_end and data[pos] in (SPACE, TAB) and data[pos] != self._delimiter:
            pos += 1
        return pos

    def _is_surplus(self, data: bytes, fields: list[tuple[int, int, bool]]) -> bool:
        if self.columns is None or len(fields) <= self.columns:
            return False
        start, stop, _ = fields[-1]
        return bool(data[start:stop].strip(BLANKS)) or len(fields) > self.columns + SURPLUS_LIMIT

    @staticmethod
    def _unterminated(data: bytes, first_end: int, spanning: int | None, fields: list[tuple[int, int, bool]]) -> Parsed:
        column = len(fields) if spanning is None else spanning
        return Parsed(after_terminator(data, first_end), fields, "unterminated_quote", column)


def after_terminator(data: bytes, end: int) -> int:
    """Offset behind the line end at `end` (which may be the end of the data)."""
    if end >= len(data):
        return end
    return end + 2 if data[end : end + 2] == b"\r\n" else end + 1


def line_ends(data: bytes, start: int, stop: int, *, eof: bool) -> Offsets:
    """Offsets (in `data`) behind every physical line that ends in [start, stop]; the unterminated last one if `eof`."""
    window = np.frombuffer(data, dtype=np.uint8, count=stop - start, offset=start)
    ends = np.flatnonzero(window == LF)
    if data.find(b"\r", start, stop) >= 0:
        ends = np.sort(np.concatenate((ends, _lone_carriage_returns(data, window, stop, eof))))
    ends += start + 1
    if eof and stop == len(data) and stop > start and (not len(ends) or ends[-1] < stop):
        ends = np.append(ends, stop)
    return ends


def _lone_carriage_returns(data: bytes, window: npt.NDArray[np.uint8], stop: int, eof: bool) -> Offsets:
    """Carriage returns without a line feed behind them; one at the very end counts only if that is certain."""
    found = np.flatnonzero(window == CR)
    lone = np.ones(len(found), dtype=np.bool_)
    last_is_open = int(found[-1]) == len(window) - 1
    inner = found[:-1] if last_is_open else found
    lone[: len(inner)] = window[inner + 1] != LF
    if last_is_open:
        lone[-1] = data[stop] != LF if stop < len(data) else eof
    return found[lone]


@dataclass
class Scan:
    """
    Attributes:
        starts: offset of every record.
        end: offset behind the last record.
        lines: index of each record's first physical line, counted from the start of the scan.
        line_count: physical lines in all.
        rough: records that only the exact reader may read.
        overlong: a record longer than the limit begins at `end` (only with `stop_at_overlong`).
    """

    starts: Offsets
    end: int
    lines: Offsets
    line_count: int
    rough: Flags
    overlong: bool = False


def scan(
    data: bytes, start: int, stop: int, *, eof: bool, parser: RecordParser, stop_at_overlong: bool = False
) -> Scan:
    """
    All records that begin and end in [start, stop].

    Args:
        data: shadow bytes; those behind `stop` are looked at to find where a record ends.
        start: offset of a record.
        eof: nothing follows `data`.
    """
    ends = line_ends(data, start, stop, eof=eof)
    starts = np.concatenate((np.array([start], dtype=np.int64), ends[:-1])) if len(ends) else ends
    odd = odd_lines(data, starts, ends, parser)
    if not len(odd):
        end = int(ends[-1]) if len(ends) else start
        return Scan(starts, end, np.arange(len(starts)), len(starts), np.zeros(len(starts), dtype=np.bool_))
    if len(odd) > max(MANY_ODD_LINES, len(ends) // 50):
        found = _spanning_records(data, starts, ends, parser)
        if found is not None:
            return found
    return _resolve_odd(data, starts, ends, odd, eof, parser, stop_at_overlong)


def scan_all(data: bytes, *, parser: RecordParser, window: int = SCAN_WINDOW) -> Scan:
    """All records of `data`, which begins and ends with whole records; in windows, to need little memory."""
    parts: list[Scan] = []
    pos, lines, reach = 0, 0, window
    while pos < len(data):
        found = scan(data, pos, min(pos + reach, len(data)), eof=True, parser=parser)
        if not len(found.starts):
            reach *= 2
            continue
        parts.append(Scan(found.starts, found.end, found.lines + lines, found.line_count, found.rough))
        pos, lines, reach = found.end, lines + found.line_count, window
    none = np.empty(0, dtype=np.int64)
    return Scan(
        starts=np.concatenate([none, *(part.starts for part in parts)]),
        end=pos,
        lines=np.concatenate([none, *(part.lines for part in parts)]),
        line_count=lines,
        rough=np.concatenate([none.astype(np.bool_), *(part.rough for part in parts)]),
    )


def _resolve_odd(
    data: bytes, starts: Offsets, ends: Offsets, odd: Offsets, eof: bool, parser: RecordParser, stop_at_overlong: bool
) -> Scan:
    """Ask the parser about every odd line that a record begins with."""
    is_record = np.ones(len(starts), dtype=np.bool_)
    rough = np.zeros(len(starts), dtype=np.bool_)
    begin, end = starts.tolist(), ends.tolist()
    count, following, overlong = len(begin), 0, False
    for line in odd.tolist():
        if line < following:
            continue
        try:
            parsed = parser.parse(data, begin[line], eof=eof)
        except NeedMore:
            count = line
            break
        stop = end[line] if parsed.code == "record_too_long" else parsed.end
        overlong = stop_at_overlong and parsed.code == "record_too_long"
        if overlong or stop > end[-1]:
            count = line
            break
        rough[line] = not parsed.tidy
        if stop != end[line]:
            following = bisect_left(end, stop) + 1
            is_record[line + 1 : following] = False
    lines = np.flatnonzero(is_record[:count])
    return Scan(starts[lines], begin[count] if count < len(begin) else end[-1], lines, count, rough[lines], overlong)


def odd_lines(data: bytes, starts: Offsets, ends: Offsets, parser: RecordParser) -> Offsets:
    """Lines that are not, by themselves and beyond doubt, one well-formed record."""
    odd = np.zeros(len(ends), dtype=np.bool_)
    if len(ends):
        first, last = int(starts[0]), int(ends[-1])
        if parser.quote is not None and data.find(parser.quote, first, last) >= 0:
            _mark_badly_quoted(odd, data, first, last, starts, parser)
        if parser.escape is not None and data.find(parser.escape, first, last) >= 0:
            odd[_lines_with(data, first, last, parser.escape, starts)] = True
    return np.flatnonzero(odd | ((ends - starts) > parser.limit))


def _lines_with(data: bytes, first: int, last: int, mark: bytes, starts: Offsets) -> Offsets:
    window = np.frombuffer(data, dtype=np.uint8, count=last - first, offset=first)
    return np.searchsorted(starts, np.flatnonzero(window == mark[0]) + first, side="right") - 1


def _mark_badly_quoted(odd: Flags, data: bytes, first: int, last: int, starts: Offsets, parser: RecordParser) -> None:
    """Lines with an odd number of quotes, or with one in the wrong place when quotes are numbered within the line."""
    assert parser.quote is not None
    window = np.frombuffer(data, dtype=np.uint8, count=last - first, offset=first)
    quotes = np.flatnonzero(window == parser.quote[0])
    first_quotes = np.searchsorted(quotes, starts - first)
    counts = np.diff(np.append(first_quotes, len(quotes)))
    odd |= (counts & 1).astype(np.bool_)
    closing = ((np.arange(len(quotes)) - np.repeat(first_quotes, counts)) & 1).astype(np.bool_)
    wrong = _misplaced(window, quotes, closing, parser)
    if wrong.any():
        odd[np.searchsorted(starts, quotes[wrong] + first, side="right") - 1] = True
        odd[_with_literal_quotes_only(window, quotes, counts, parser)] = False


def _with_literal_quotes_only(
    window: npt.NDArray[np.uint8], quotes: Offsets, counts: Offsets, parser: RecordParser
) -> Offsets:
    """Lines none of whose quotes stands at a field start: they open nothing (5" pipe)."""
    opening = _breaks(parser)[window[np.maximum(quotes - 1, 0)]]
    opening[0] |= quotes[0] == 0
    lines = np.repeat(np.arange(len(counts)), counts)
    return np.flatnonzero((counts > 0) & (np.bincount(lines[opening], minlength=len(counts)) == 0))


def _breaks(parser: RecordParser) -> Flags:
    """Which bytes end a field."""
    table = np.zeros(256, dtype=np.bool_)
    table[[parser.delimiter[0], LF, CR]] = True
    return table


def _misplaced(window: npt.NDArray[np.uint8], quotes: Offsets, closing: Flags, parser: RecordParser) -> Flags:
    """
    An opening quote must stand at a field start or directly behind a closing one (a doubled quote), a closing one
    before a delimiter, a line end or an opening one. `window` consists of whole lines.
    """
    breaks = _breaks(parser)
    fine_open = breaks[window[np.maximum(quotes - 1, 0)]]
    fine_open[0] |= quotes[0] == 0
    fine_close = breaks[window[np.minimum(quotes + 1, len(window) - 1)]]
    fine_close[-1] |= quotes[-1] == len(window) - 1
    touching = np.diff(quotes) == 1
    fine_open[1:] |= touching
    fine_close[:-1] |= touching
    return np.where(closing, ~fine_close, ~fine_open)


def _spanning_records(data: bytes, starts: Offsets, ends: Offsets, parser: RecordParser) -> Scan | None:
    """The scan of text whose quoting is beyond doubt although fields span lines; None when it is not."""
    first, last = int(starts[0]), int(ends[-1])
    if parser.quote is None or (parser.escape is not None and data.find(parser.escape, first, last) >= 0):
        return None
    window = np.frombuffer(data, dtype=np.uint8, count=last - first, offset=first)
    quotes = np.flatnonzero(window == parser.quote[0])
    outside = np.flatnonzero((np.searchsorted(quotes, ends - first) & 1) == 0)
    if not len(outside):
        return None
    window = window[: int(ends[outside[-1]]) - first]
    quotes = quotes[quotes < len(window)]
    closing = (np.arange(len(quotes)) & 1).astype(np.bool_)
    if len(quotes) and _misplaced(window, quotes, closing, parser).any():
        return None
    lines = np.concatenate((np.zeros(1, dtype=np.int64), outside[:-1] + 1))
    begins, stops = starts[lines], ends[outside]
    spanning = outside > lines
    if ((stops - begins) > parser.limit).any() or _uneven(window, quotes, begins - first, spanning, parser):
        return None
    rough = np.zeros(len(lines), dtype=np.bool_)
    return Scan(begins, int(stops[-1]), lines, int(outside[-1]) + 1, rough)


def _uneven(
    window: npt.NDArray[np.uint8], quotes: Offsets, begins: Offsets, spanning: Flags, parser: RecordParser
) -> bool:
    """Whether a record over several lines has another number of columns than the header."""
    if parser.columns is None:
        return False
    delimiters = np.flatnonzero(window == parser.delimiter[0])
    delimiters = delimiters[(np.searchsorted(quotes, delimiters) & 1) == 0]
    bounds = np.searchsorted(delimiters, np.append(begins, len(window)))
    return bool((np.diff(bounds)[spanning] + 1 != parser.columns).any())
