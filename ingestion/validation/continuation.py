"""Continuation records: a record without an order id inherits the blank order columns of the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ingestion.profiles.fields import EDGES, FIELDS
from ingestion.profiles.settlement import Settlement
from ingestion.validation.records import UNKNOWN, Carry


@dataclass(frozen=True)
class Filled:
    """
    Args:
        table: with the order columns filled in.
        unknown: for each row, whether the record it continues could not be read.
        carry: for the next chunk.
    """

    table: pl.DataFrame
    unknown: np.ndarray
    carry: Carry


class Continuation:
    """
    Fills order columns downwards, in file order and as raw text.

    A record with an order id starts anew and inherits nothing. After a damaged record the order is unknown until the
    next record with an order id, because the damaged one may have started an order.
    """

    def __init__(self, settlement: Settlement) -> None:
        self._keys = _columns(settlement, ["order_id"])
        self._columns = _columns(settlement, [field.name for field in FIELDS.values() if field.order_level])

    def fill(self, table: pl.DataFrame, ordinals: np.ndarray, damaged: Sequence[int], carry: Carry) -> Filled:
        """
        Args:
            ordinals: of each row of the table, ascending.
            damaged: ordinals of records that could not be read.
            carry: what the chunk before this one gave.
        """
        heads = ~table.select(pl.all_horizontal(_blank(index) for index in self._keys)).to_series().to_numpy()
        rows = np.arange(table.height)
        head_of = np.maximum.accumulate(np.where(heads, rows, -1)) if table.height else rows
        damage = np.unique(np.asarray(damaged, dtype=np.int64))
        before = np.searchsorted(damage, ordinals)
        at_head = np.where(head_of >= 0, before[head_of], 0) if table.height else before
        unknown = (before > at_head) | ((head_of < 0) & (not carry.known))
        filled = table.with_columns(self._fill(index, heads, carry) for index in self._columns)
        return Filled(filled, unknown, self._after(filled, unknown, ordinals, damage, carry))

    def _fill(self, index: int, heads: np.ndarray, carry: Carry) -> pl.Expr:
        inherits = _blank(index) & ~pl.lit(pl.Series(heads))
        own = pl.when(inherits).then(None).otherwise(pl.col(f"c{index}"))
        return own.forward_fill().fill_null(carry.values.get(index, "")).alias(f"c{index}")

    def _after(
        self, filled: pl.DataFrame, unknown: np.ndarray, ordinals: np.ndarray, damage: np.ndarray, carry: Carry
    ) -> Carry:
        last_damage = int(damage[-1]) if len(damage) else -1
        if not filled.height:
            return UNKNOWN if len(damage) else carry
        if unknown[-1] or last_damage > ordinals[-1]:
            return UNKNOWN
        return Carry(values={index: filled[f"c{index}"][-1] for index in self._columns})


def _columns(settlement: Settlement, names: Sequence[str]) -> list[int]:
    found = {settlement.columns[name] for name in names if name in settlement.columns}
    for name in names:
        found |= {part for part in settlement.templates.get(name, ()) if isinstance(part, int)}
    return sorted(found)


def _blank(index: int) -> pl.Expr:
    return pl.col(f"c{index}").str.strip_chars(EDGES) == ""
