"""What callers want: orders to be placed, changes to orders and items. Plain values, checked by the boundary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Literal


class Unset(Enum):
    """The value of what was not given, where None means something."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET
Price = Decimal | None | Literal[Unset.UNSET]


@dataclass(frozen=True, slots=True)
class LineDraft:
    """
    A line as wanted.

    Args:
        sku: the item; None keeps that of an existing line.
        quantity: pieces, not 0; None keeps that of an existing line.
        unit_price: UNSET takes the item's list price, or keeps that of an existing line with the same item; None says
            that the price is not known (of a new line: takes the list price, too).
        line_no: 1 or more; None numbers on after the highest.
    """

    sku: str | None = None
    quantity: int | None = None
    unit_price: Price = UNSET
    line_no: int | None = None


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """An order to be placed; without `id` one is made, without `ordered_at` it is ordered now."""

    user_id: str
    lines: Sequence[LineDraft]
    id: str | None = None
    country: str = ""
    currency: str = ""
    ordered_at: datetime | None = None
    attributes: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Amendment:
    """
    Changes to an order.

    Args:
        header: new values of `country`, `currency`, `ordered_at`, `attributes`.
        lines: to be changed or added, by line number.
        remove_lines: numbers of lines to be removed.
        replace_lines: remove all lines that `lines` does not name.
    """

    header: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[LineDraft] = ()
    remove_lines: Sequence[int] = ()
    replace_lines: bool = False
