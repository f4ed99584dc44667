"""
The vectorised validator: whole columns at a time, for values that are provably plain.

Every kind of value has a `plain` reader here that gives the typed column and marks the rows it is not sure about. A row
that any column marks is validated again by the exact validator, so this one may be as narrow as it likes, but must
never accept a value that the exact one would reject or read otherwise. Few distinct values are read by the exact
reader itself, once each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from ingestion.profiles.settlement import Settlement
from ingestion.validation.distinct import by_distinct
from ingestion.validation.exact import FieldPlan, field_plans
from ingestion.validation.plain_moments import PlainMoments
from ingestion.validation.plain_prices import PlainPrices
from ingestion.validation.records import SCHEMA
from ingestion.validation.texts import CONTROL, MANGLED

_CONTROL: Final = (
    CONTROL.replace("\x00", r"\x00").replace("\x1f", r"\x1f").replace("\x7f", r"\x7f").replace("\x9f", r"\x{9f}")
)
_ATOM: Final = "[a-z0-9_+%-]+"
_EMAIL: Final = rf"^{_ATOM}(?:\.{_ATOM})*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{{2,24}}$"
_LIMITS: Final = {"id": 128, "name": 255, "country": 64, "email": 64}
_SURE_EMAIL_BYTES: Final = 64  # no label can have more than 63 characters then, nor the local part more than 64


@dataclass(frozen=True)
class Cleanliness:
    """What is known of all texts of a batch; each flag False saves work, True is always safe."""

    edges: bool = True
    controls: bool = True


@dataclass
class Columns:
    """
    Args:
        values: field → typed column; what stands in a doubtful row means nothing.
        doubtful: rows that the exact validator has to decide; None = none.
    """

    values: dict[str, pl.Series] = field(default_factory=dict)
    doubtful: pl.Series | None = None

    def doubt(self, rows: pl.Series) -> None:
        if rows.any():
            self.doubtful = rows if self.doubtful is None else self.doubtful | rows


class VectorisedValidator:
    """Validates whole columns."""

    def __init__(self, settlement: Settlement) -> None:
        self._plans = field_plans(settlement)
        self._rules = settlement.rules
        self._prefixes = settlement.prefixes
        prices = PlainPrices(settlement.formats, settlement.rules)
        moments = PlainMoments(settlement.formats)
        self._plain: dict[str, Callable[[FieldPlan, pl.Series, Columns, Cleanliness], pl.Series]] = {
            "id": self._id,
            "name": self._text,
            "raw": self._text,
            "email": self._email,
            "country": self._distinct,
            "currency": self._distinct,
            "status": self._distinct,
            "quantity": self._whole,
            "line_no": self._whole,
            "age": self._whole,
            "price": lambda plan, texts, columns, _: _sure(columns, prices.read(plan.read, texts)),
            "datetime": lambda plan, texts, columns, _: _sure(columns, moments.read(plan.read, texts)),
        }

    def read(self, table: pl.DataFrame, clean: Cleanliness) -> Columns:
        """
        Args:
            table: texts as read, columns c0, c1, …
        """
        columns = Columns()
        for plan in self._plans:
            columns.values[plan.name] = self._column(plan, table, columns, clean).cast(SCHEMA[plan.name], strict=False)
        return columns

    def _column(self, plan: FieldPlan, table: pl.DataFrame, columns: Columns, clean: Cleanliness) -> pl.Series:
        if not plan.parts:
            return pl.repeat(plan.read(plan.default or ""), table.height, dtype=SCHEMA[plan.name], eager=True)
        texts = _texts(plan.parts, table, clean)
        shortest = texts.str.len_bytes().min()
        if shortest == 0:
            blank = texts == ""
            if plan.default is not None:
                texts = texts.set(blank, plan.default)
            else:
                texts = texts.set(blank, None)
                if plan.required:
                    columns.doubt(blank)
        if texts.null_count() == table.height:
            return pl.Series([None] * table.height, dtype=pl.String)
        return self._plain[plan.kind](plan, texts, columns, clean)

    def _id(self, plan: FieldPlan, texts: pl.Series, columns: Columns, clean: Cleanliness) -> pl.Series:
        prefix = self._prefixes.get(plan.name, "")
        self._bounded(texts, _LIMITS["id"] - len(prefix), columns, clean)
        if not self._rules.allow_scientific and _has_mangled(texts):
            columns.doubt(texts.str.contains(f"^{MANGLED}$").fill_null(False))
        return (prefix + texts) if prefix else texts

    def _text(self, plan: FieldPlan, texts: pl.Series, columns: Columns, clean: Cleanliness) -> pl.Series:
        self._bounded(texts, _LIMITS.get(plan.kind, 1 << 62), columns, clean)
        return texts

    def _bounded(self, texts: pl.Series, limit: int, columns: Columns, clean: Cleanliness) -> None:
        longest = texts.str.len_bytes().max()
        if isinstance(longest, int) and longest > limit:
            columns.doubt((texts.str.len_bytes() > limit).fill_null(False))
        if clean.controls:
            columns.doubt(texts.str.contains(_CONTROL).fill_null(False))

    def _email(self, plan: FieldPlan, texts: pl.Series, columns: Columns, clean: Cleanliness) -> pl.Series:
        self._bounded(texts, _SURE_EMAIL_BYTES, columns, Cleanliness(controls=False))
        sure = texts.str.contains(_EMAIL).fill_null(True)
        if not sure.all():
            texts = texts.str.to_lowercase()
            sure = texts.str.contains(_EMAIL).fill_null(True)
            columns.doubt(~sure)
        return texts

    def _whole(self, plan: FieldPlan, texts: pl.Series, columns: Columns, clean: Cleanliness) -> pl.Series:
        few = by_distinct(plan.read, texts, SCHEMA[plan.name], most=texts.len() // 16)
        if few is not None:
            return _sure(columns, few)
        plain = texts.str.contains("^[1-9][0-9]{0,8}$" if plan.kind != "age" else "^[1-9]?[0-9]$").fill_null(True)
        columns.doubt(~plain)
        return texts.cast(pl.Int32, strict=False)

    def _distinct(self, plan: FieldPlan, texts: pl.Series, columns: Columns, clean: Cleanliness) -> pl.Series:
        few = by_distinct(plan.read, texts, pl.String, most=texts.len())
        assert few is not None
        return _sure(columns, few)


def _sure(columns: Columns, read: tuple[pl.Series, pl.Series | None]) -> pl.Series:
    values, doubtful = read
    if doubtful is not None:
        columns.doubt(doubtful)
    return values


def _texts(parts: Sequence[str | int], table: pl.DataFrame, clean: Cleanliness) -> pl.Series:
    """The trimmed texts of a field; a template with a blank column is blank."""
    columns = {part: table[f"c{part}"] for part in parts if isinstance(part, int)}
    if clean.edges:
        columns = {part: column.str.strip_chars() for part, column in columns.items()}
    if len(parts) == 1:
        return columns[parts[0]]  # type: ignore[index]
    frame = pl.DataFrame({f"c{part}": column for part, column in columns.items()})
    blank = pl.any_horizontal(pl.all() == "")
    pieces = [pl.lit(part) if isinstance(part, str) else pl.col(f"c{part}") for part in parts]
    return frame.select(pl.when(blank).then(pl.lit("")).otherwise(pl.concat_str(pieces)).alias("t")).to_series()


def _has_mangled(texts: pl.Series) -> bool:
    """Whether any text can have an exponent with a plus sign: a search through the column's bytes as a whole."""
    return bool(texts.str.contains("+", literal=True).any())
