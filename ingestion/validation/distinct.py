"""Reading each distinct text of a column once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from ingestion.validation.codes import InvalidValue
from ingestion.validation.exact import Reader

ALWAYS_FEW = 64


def by_distinct(read: Reader, texts: pl.Series, dtype: Any, *, most: int) -> tuple[pl.Series, pl.Series | None] | None:
    """
    Read each distinct text once by the exact reader.

    Args:
        most: give up when there are more distinct texts than this.
    Returns:
        the values and the rows whose text the reader refuses (None = none); or None.
    """
    distinct = texts.unique().drop_nulls()
    if distinct.len() > max(most, ALWAYS_FEW):
        return None
    good: dict[str, Any] = {}
    bad: list[str] = []
    for text in distinct.to_list():
        try:
            good[text] = read(text)
        except InvalidValue:
            bad.append(text)
    doubtful = texts.is_in(bad).fill_null(False) if bad else None
    if dtype == pl.String and list(good) == list(good.values()):
        return texts, doubtful
    values = pl.Series(list(good.values()), dtype=dtype)
    return texts.replace_strict(list(good), values, default=None, return_dtype=dtype), doubtful


def map_distinct(column: pl.Series, value_of: Callable[[Any], Any], dtype: Any) -> pl.Series:
    """The column with each distinct value replaced by what the function gives for it; null stays null."""
    distinct = column.unique().drop_nulls()
    values = pl.Series([value_of(value) for value in distinct.to_list()], dtype=dtype)
    if distinct.len() == 1 and column.null_count() == 0:
        return pl.repeat(values[0], column.len(), dtype=dtype, eager=True)
    return column.replace_strict(distinct, values, default=None, return_dtype=dtype)
