"""Unmapped columns, kept as one JSON object per record."""

from __future__ import annotations

import json
from collections.abc import Mapping

import polars as pl


def attributes(table: pl.DataFrame, names: Mapping[int, str]) -> pl.Series:
    """
    A JSON object text per record, with the non-blank unmapped values as read; null when all are blank.

    Args:
        names: 0-based column → key.
    """
    pieces = [_piece(index, name) for index, name in sorted(names.items())]
    joined = pl.concat_str(pieces, separator=",", ignore_nulls=True)
    text = pl.when(joined == "").then(None).otherwise(pl.concat_str([pl.lit("{"), joined, pl.lit("}")]))
    return table.select(text.cast(pl.String).alias("attributes"))["attributes"]


def _piece(index: int, name: str) -> pl.Expr:
    value = pl.col(f"c{index}")
    encoded = pl.struct(value.alias("v")).struct.json_encode().str.slice(5).str.strip_suffix("}")
    piece = pl.concat_str([pl.lit(json.dumps(name, ensure_ascii=False) + ":"), encoded])
    return pl.when(value.str.strip_chars() == "").then(None).otherwise(piece)
