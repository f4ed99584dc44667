"""What a file means, record by record and in order: the plain reading that the pipeline must agree with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

COLUMNS = ("order_id", "user_id", "sku", "quantity", "line_no", "user_email", "item_name", "unit_price", "country")
Record = tuple[str, ...]


@dataclass
class Model:
    """
    A database that loads files of `COLUMNS` into itself; no order is there when a file is loaded.

    Args:
        duplicates: "reject" or "skip".
        partial_orders: "load" or "reject".
    """

    duplicates: str = "reject"
    partial_orders: str = "load"
    users: dict[str, str] = field(default_factory=dict)
    items: dict[str, str] = field(default_factory=dict)
    orders: dict[str, tuple[str, str]] = field(default_factory=dict)
    lines: dict[tuple[str, int], tuple[str, int, str]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    errors: dict[int, str] = field(default_factory=dict)

    def load(self, records: Sequence[Record]) -> None:
        """Load one file."""
        bad = {record[0] for number, record in enumerate(records, 1) if not self._resolve(number, record)}
        for number, record in enumerate(records, 1):
            if number in self.errors:
                self.outcomes["rejected"] += 1
            elif self.partial_orders == "reject" and record[0] in bad:
                self.errors[number] = "partial_order"
                self.outcomes["rejected"] += 1
            else:
                self._merge(number, record)

    def _resolve(self, number: int, record: Record) -> bool:
        """Make the record's user and item; False: the record is refused."""
        _, user, sku, quantity, _, email, name, _, _ = record
        code = _fault(user, quantity) or self._email_fault(user, email)
        if code:
            self.errors[number] = code
            return False
        self.users.setdefault(user, email)
        self.items.setdefault(sku, name)
        return True

    def _email_fault(self, user: str, email: str) -> str:
        taken = email and email in self.users.values()
        return "duplicate_email" if taken and user not in self.users else ""

    def _merge(self, number: int, record: Record) -> None:
        order, user, sku, quantity, line_no, _, _, price, country = record
        key = (order, int(line_no or number))
        if key in self.lines:
            self.outcomes["skipped" if self.duplicates == "skip" else "rejected"] += 1
            if self.duplicates == "reject":
                self.errors[number] = "duplicate_line"
            return
        self.orders.setdefault(order, (user, country))
        self.lines[key] = (sku, int(quantity), price)
        self.outcomes["loaded"] += 1


def _fault(user: str, quantity: str) -> str:
    if not user:
        return "required"
    return "" if quantity.isdigit() else "invalid_integer"
