"""Planning: one pass over the bytes of a source that cuts it into record-safe spans, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingestion.reader.dialect import Dialect
from ingestion.reader.encoding import shadow_blocks
from ingestion.reader.records import CR, LF, Flags, NeedMore, Offsets, RecordParser, after_terminator, line_ends, scan

SEGMENT = 1 << 19  # code units looked at in one step
SLACK = 1 << 21  # code units read ahead at once
COUNT_SLICE = 1 << 18  # fits the second-level cache
NONE, CLEAN, EXACT = "none", "clean", "exact"
OVERLONG = "overlong"


@dataclass(frozen=True)
class Span:
    """
    A record-safe byte range of the decompressed source.

    Attributes:
        number: 0-based, in file order.
        offset, length: bytes.
        first_record: 1-based number of its first record in the source; the header is no record, a blank line is one.
        records: how many records.
        first_line, lines: physical lines, 1-based.
        quoting: "none" (no quote in it), "clean" (quoting proved well-formed), "exact" (neither) or "overlong" (exactly
            one record, too long to read: `read_span` wants no bytes for it).
    """

    number: int
    offset: int
    length: int
    first_record: int
    records: int
    first_line: int
    lines: int
    quoting: str


@dataclass(frozen=True)
class _Piece:
    """Some complete records at the start of the window; `starts` and `lines` as in `Scan`."""

    length: int
    records: int
    lines: int
    quoting: str
    starts: Callable[[], tuple[Offsets, Offsets]]


def plan(
    blocks: Iterable[bytes],
    *,
    dialect: Dialect,
    target_bytes: int | Callable[[int], int],
    max_record_bytes: int = 1 << 20,
    key_column: int | None = None,
) -> Iterator[Span]:
    """
    Spans that cover [body_offset, end of source) without gap or overlap.

    Args:
        blocks: the bytes of the whole decompressed source from offset 0, in blocks of any size.
        target_bytes: longest span wanted, or a function of the span's offset; exceeded only by a single record.
        max_record_bytes: longest record; a longer line becomes a span of its own.
        key_column: 0-based; avoid ending a span between records that are equal in this column.
    """
    target = target_bytes if callable(target_bytes) else lambda _offset: target_bytes
    return _Planner(blocks, dialect, target, max_record_bytes, key_column).spans()


class _Window:
    """The bytes from the next record on, as shadow; `base` is the offset of `data[0]` in code units."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self.data = b""
        self.base = self.pos = 0
        self.eof = False

    @property
    def left(self) -> int:
        return len(self.data) - self.pos

    def fill(self, wanted: int) -> None:
        """Have at least `wanted` units ahead, or the end of the source."""
        if self.eof or self.left >= wanted:
            return
        parts, have = [self.data[self.pos :]], self.left
        for block in self._blocks:
            parts.append(block)
            have += len(block)
            if have >= wanted + SLACK:
                break
        else:
            self.eof = True
        self.base += self.pos
        self.pos = 0
        self.data = b"".join(parts)

    def skip(self, count: int) -> None:
        """Leave out units before the first record."""
        while count and (self.left or not self.eof):
            self.fill(1)
            step = min(count, self.left)
            self.pos += step
            count -= step


class _Planner:
    def __init__(
        self,
        blocks: Iterable[bytes],
        dialect: Dialect,
        target: Callable[[int], int],
        max_record_bytes: int,
        key_column: int | None,
    ) -> None:
        self.unit = dialect.unit
        self.bytes_read = 0
        self.window = _Window(shadow_blocks(self._counted(blocks), encoding=dialect.encoding))
        self.dialect = dialect
        self.target = target
        self.key_column = key_column
        self.parser = RecordParser.of(dialect, max_record_bytes=max_record_bytes)
        self.marks = self.parser.marks()
        self.segment = max(1, min(SEGMENT, self.parser.limit // 2))
        self.number, self.next_record, self.next_line = 0, 1, dialect.body_line
        self._reset()

    def _counted(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.bytes_read += len(block)
            yield block

    def _reset(self) -> None:
        self.length = self.records = self.lines = 0
        self.quoting = NONE

    def spans(self) -> Iterator[Span]:
        window = self.window
        window.skip(-(-self.dialect.body_offset // self.unit))
        while True:
            window.fill(2 * self.segment + self.parser.limit + 4)
            if not window.left:
                break
            room = self._room()
            size = room if room <= 2 * self.segment else self.segment
            piece = self._piece(size, room)
            if piece is None and self.records:
                yield self._emit(self.quoting)
            elif piece is None:
                yield self._overlong()
            else:
                self._take(self._snapped(piece) if size == room else piece)
                if size == room:
                    yield self._emit(self.quoting)
        if self.records:
            yield self._emit(self.quoting)

    def _room(self) -> int:
        offset = (self.window.base + self.window.pos - self.length) * self.unit
        return max(1, self.target(offset) // self.unit - self.length)

    def _take(self, piece: _Piece) -> None:
        self.window.pos += piece.length
        self.length += piece.length
        self.records += piece.records
        self.lines += piece.lines
        self.quoting = max(self.quoting, piece.quoting, key=(NONE, CLEAN, EXACT).index)

    def _emit(self, quoting: str) -> Span:
        end = min((self.window.base + self.window.pos) * self.unit, self._end())
        offset = (self.window.base + self.window.pos - self.length) * self.unit
        span = Span(
            self.number, offset, end - offset, self.next_record, self.records, self.next_line, self.lines, quoting
        )
        self.number += 1
        self.next_record += self.records
        self.next_line += self.lines
        self._reset()
        return span

    def _end(self) -> int:
        """Size of the source once it is known: an odd last byte of UTF-16 is half a unit."""
        return self.bytes_read if self.window.eof else (self.window.base + len(self.window.data)) * self.unit

    def _piece(self, size: int, room: int) -> _Piece | None:
        """Records of about `size` units; None if there is none that fits the span, or (span empty) it is too long."""
        window = self.window
        stop = min(window.pos + size, len(window.data))
        plain = all(window.data.find(mark, window.pos, stop) < 0 for mark in self.marks)
        piece = self._plain(stop) if plain else self._scanned(stop)
        return piece or self._single(room)

    def _plain(self, stop: int) -> _Piece | None:
        window, start = self.window, self.window.pos
        end = last_line_end(window.data, start, stop, eof=window.eof)
        if end == start:
            return None
        count = count_lines(window.data, start, end)
        if end - start > self.parser.limit:  # an unterminated last line cannot be cut off by the segment's size
            return None if count == 1 else self._scanned(stop)

        def starts() -> tuple[Offsets, Offsets]:
            ends = line_ends(window.data, start, end, eof=True)
            return np.concatenate((np.array([start], dtype=np.int64), ends[:-1])), np.arange(len(ends))

        return _Piece(end - start, count, count, NONE, starts)

    def _scanned(self, stop: int) -> _Piece | None:
        window, start = self.window, self.window.pos
        found = scan(window.data, start, stop, eof=window.eof, parser=self.parser, stop_at_overlong=True)
        if not len(found.starts):
            return None
        quoting = EXACT if found.rough.any() else CLEAN
        return _Piece(
            found.end - start, len(found.starts), found.line_count, quoting, lambda: (found.starts, found.lines)
        )

    def _single(self, room: int) -> _Piece | None:
        """The one record at the window's start, longer than a segment."""
        window, start = self.window, self.window.pos
        parsed = self.parser.parse(window.data, start, eof=window.eof)
        if parsed.code == "record_too_long" or (self.records and parsed.end - start > room):
            return None
        lines = len(line_ends(window.data, start, parsed.end, eof=True))
        first = np.array([start], dtype=np.int64)
        quoting = CLEAN if parsed.tidy else EXACT
        return _Piece(parsed.end - start, 1, lines, quoting, lambda: (first, first - start))

    def _snapped(self, piece: _Piece) -> _Piece:
        """The piece without its last records that have the same key as the record behind it."""
        window, cut = self.window, self.window.pos + piece.length
        if self.key_column is None or cut >= len(window.data):
            return piece
        key = self._key(cut)
        starts, lines = piece.starts()
        for index in range(len(starts) - 1, 0, -1):
            if key is None or self._key(int(starts[index])) != key:
                keep = index + 1
                break
        else:
            return piece
        if keep == len(starts):
            return piece
        return _Piece(int(starts[keep]) - window.pos, keep, int(lines[keep]), piece.quoting, piece.starts)

    def _key(self, start: int) -> bytes | None:
        try:
            parsed = self.parser.parse(self.window.data, start, eof=self.window.eof)
        except NeedMore:
            return None
        if parsed.code or self.key_column is None or self.key_column >= len(parsed.fields):
            return None
        begin, stop, _ = parsed.fields[self.key_column]
        return self.window.data[begin:stop]

    def _overlong(self) -> Span:
        """A span of the one record at the window's start, which is passed over without being kept."""
        window, first = self.window, self.window.base + self.window.pos
        window.pos = min(window.pos + self.parser.limit, len(window.data))
        while True:
            end = self._line_end_in_window()
            if end is not None:
                window.pos = end
                break
            window.pos = len(window.data)
            window.fill(1)
        self.length = window.base + window.pos - first
        self.records = self.lines = 1
        return self._emit(OVERLONG)

    def _line_end_in_window(self) -> int | None:
        window = self.window
        if window.eof and not window.left:
            return len(window.data)
        found = [at for at in (window.data.find(b"\n", window.pos), window.data.find(b"\r", window.pos)) if at >= 0]
        if not found:
            return None
        window.pos = min(found)
        window.fill(2)
        return after_terminator(window.data, window.pos)


def last_line_end(data: bytes, start: int, stop: int, *, eof: bool) -> int:
    """Offset behind the last line end within [start, stop), or `start`; the end of the source is one."""
    if eof and stop == len(data):
        return stop
    at = max(data.rfind(b"\n", start, stop), data.rfind(b"\r", start, stop))
    if at < 0:
        return start
    if at + 1 == stop and data[at] == CR:
        if stop < len(data) and data[stop] != LF:
            return stop
        return last_line_end(data, start, at, eof=False)
    return at + 1


def count_lines(data: bytes, start: int, end: int) -> int:
    """Physical lines in [start, end), which is a sequence of whole lines."""
    carriages = data.find(b"\r", start, end) >= 0
    count = 0
    for low in range(start, end, COUNT_SLICE):
        window = np.frombuffer(data, dtype=np.uint8, count=min(COUNT_SLICE, end - low), offset=low)
        feeds = window == LF
        count += int(np.count_nonzero(feeds))
        if carriages:
            count += _lone(window, feeds, data, low + len(window), end)
    return count + (data[end - 1] not in (LF, CR) if end > start else 0)


def _lone(window: npt.NDArray[np.uint8], feeds: Flags, data: bytes, behind: int, end: int) -> int:
    """Carriage returns without a line feed behind them."""
    returns = window == CR
    lone = int(np.count_nonzero(returns)) - int(np.count_nonzero(returns[:-1] & feeds[1:]))
    return lone - int(bool(returns[-1]) and behind < end and data[behind] == LF)
