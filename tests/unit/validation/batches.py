"""Batches made by hand, with flags that are as sharp as the reader may make them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from ingestion.reader import Batch, Defect, Span


def batch_of(rows: Sequence[Sequence[str]], *, width: int, damaged: Sequence[int] = ()) -> Batch:
    """A batch of these records; those at the ordinals `damaged` come in between and could not be read."""
    total = len(rows) + len(damaged)
    ordinals = np.array([number for number in range(total) if number not in set(damaged)], dtype=np.int64)
    cells = [cell for row in rows for cell in row]
    table = pl.DataFrame(
        {f"c{index}": [row[index] for row in rows] for index in range(width)},
        schema_overrides=dict.fromkeys((f"c{index}" for index in range(width)), pl.String),
    )
    return Batch(
        records=total,
        table=table,
        ordinals=ordinals,
        defects=[Defect(ordinal, "missing_columns", "Too short.", None, "x") for ordinal in damaged],
        ignored={},
        ascii=all(cell.isascii() for cell in cells),
        controls=any(ord(char) < 32 or 127 <= ord(char) < 160 for cell in cells for char in cell),
        padded=any(cell.strip(" \u00a0") != cell for cell in cells),
        span=Span(0, 0, 0, 1, total, 2, total, "exact"),
        data=b"",
        _find_bounds=lambda: (np.zeros(total + 1, dtype=np.int64), np.zeros(total, dtype=np.int64)),
    )
