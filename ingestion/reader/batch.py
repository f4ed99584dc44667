"""What reading a span gives: a table of its well-formed records, and an account of all others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl

from ingestion.reader.exact import Defect
from ingestion.reader.records import Offsets
from ingestion.reader.split import Span


@dataclass(frozen=True)
class Located:
    """Where records are: absolute byte `offset`, `length` in bytes with the line end, physical `line` (1-based)."""

    offset: Offsets
    length: Offsets
    line: Offsets


@dataclass
class Batch:
    """
    All records of one span. Each is in exactly one of `table`, `defects`, `ignored`.

    Attributes:
        records: how many in all.
        table: well-formed records; String columns "c0", "c1"…, never null, as read (unquoted, unescaped, decoded).
        ordinals: for each row of `table` its 0-based record number in the span.
        defects: at least one per damaged record, in the order of the file.
        ignored: "blank" and "repeated_header" → ordinals.
        ascii: all of it is ASCII.
        controls: some field may contain control characters (C0, DEL, C1).
        padded: some field may begin or end with a space or a non-breaking space.
        span: the span read.
        data: its bytes.
    """

    records: int
    table: pl.DataFrame
    ordinals: Offsets
    defects: list[Defect]
    ignored: dict[str, Offsets]
    ascii: bool
    controls: bool
    padded: bool
    span: Span
    data: bytes = field(repr=False)
    _find_bounds: Callable[[], tuple[Offsets, Offsets]] = field(repr=False)

    @cached_property
    def _bounds(self) -> tuple[Offsets, Offsets]:
        """Byte offsets of all record starts (and the end) in `data`, and their lines counted from 0."""
        return self._find_bounds()

    def locate(self, ordinals: Offsets | Sequence[int]) -> Located:
        """Positions of the records with these ordinals; the first call finds those of all records."""
        bounds, lines = self._bounds
        wanted = np.asarray(ordinals, dtype=np.int64)
        starts = bounds[wanted]
        return Located(starts + self.span.offset, bounds[wanted + 1] - starts, lines[wanted] + self.span.first_line)

    def raw(self, ordinal: int) -> bytes:
        """The original bytes of one record with its line end (empty for an overlong one: read it from the source)."""
        bounds, _ = self._bounds
        return self.data[int(bounds[ordinal]) : int(bounds[ordinal + 1])]
