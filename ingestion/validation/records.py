"""What validation gives back: typed rows, errors, and what the next chunk has to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

MAX_SHOWN: Final = 200
PRICE: Final = pl.Decimal(18, 4)
MOMENT: Final = pl.Datetime("us", "UTC")

SCHEMA: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "ordinal": pl.Int64,
    "order_id": pl.String,
    "user_id": pl.String,
    "sku": pl.String,
    "quantity": pl.Int32,
    "line_no": pl.Int32,
    "item_name": pl.String,
    "unit_price": PRICE,
    "currency": pl.String,
    "ordered_at": MOMENT,
    "status": pl.String,
    "country": pl.String,
    "user_name": pl.String,
    "user_email": pl.String,
    "user_age": pl.Int16,
    "user_country": pl.String,
    "roles": pl.String,
    "attributes": pl.String,
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """
    One reason why a record is rejected.

    Args:
        ordinal: 0-based record within the span.
        column: 1-based column of the file; None when the whole record is meant.
        value: the offending text, at most 200 characters of it.
    """

    ordinal: int
    column: int | None
    column_name: str | None
    code: str
    message: str
    value: str | None


@dataclass(frozen=True)
class Carry:
    """
    The order columns of the last record, for continuation records at the beginning of the next chunk.

    Args:
        known: False after a damaged record: continuation records then cannot be placed.
        values: 0-based column → raw text; empty at the start of a file.
    """

    known: bool = True
    values: Mapping[int, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        return {"known": self.known, "values": {str(index): text for index, text in sorted(self.values.items())}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Carry:
        return cls(known=data["known"], values={int(index): text for index, text in data["values"].items()})


START: Final = Carry()
UNKNOWN: Final = Carry(known=False)


@dataclass
class Validated:
    """
    Args:
        frame: valid records in file order with the columns of SCHEMA; null = blank or unmapped.
        errors: at least one for each rejected record, by ordinal, then by column.
        carry: for the next span of the same file.
    """

    frame: pl.DataFrame
    errors: list[FieldError]
    carry: Carry


def shown(value: str) -> str:
    """The offending value, shortened."""
    return value if len(value) <= MAX_SHOWN else value[: MAX_SHOWN - 1] + "…"
