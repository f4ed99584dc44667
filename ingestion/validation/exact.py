"""
The exact validator: one record at a time, in plain Python. It alone defines what a record means.

The vectorised validator may only accept what this one accepts, with the same values, and leaves the rest to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

from ingestion.profiles.fields import EDGES, FIELDS
from ingestion.profiles.settlement import Settlement
from ingestion.validation import numbers, texts
from ingestion.validation.codes import InvalidValue
from ingestion.validation.moments import MomentReader
from ingestion.validation.records import FieldError, shown

Reader = Callable[[str], Any]
REPETITIVE: Final = ("quantity", "line_no", "age", "price", "country", "currency", "status")


@dataclass(frozen=True)
class FieldPlan:
    """
    How one field of a record is found and read.

    Args:
        parts: texts and 0-based columns whose concatenation is the value; blank if any of its columns is.
        default: text used for a blank value.
        column: 0-based column for messages.
    """

    name: str
    kind: str
    parts: tuple[str | int, ...]
    read: Reader
    required: bool
    default: str | None
    column: int | None

    def text(self, row: Sequence[str]) -> str:
        if len(self.parts) == 1:
            return row[self.parts[0]].strip(EDGES)  # type: ignore[index]
        values = [part if isinstance(part, str) else row[part].strip(EDGES) for part in self.parts]
        blank = any(not value for value, part in zip(values, self.parts, strict=True) if isinstance(part, int))
        return "" if blank else "".join(values)


def field_plans(settlement: Settlement) -> list[FieldPlan]:
    """The fields that have a column, a template or a default, in column order."""
    readers = _readers(settlement)
    plans = []
    for name, field in FIELDS.items():
        parts = settlement.templates.get(name) or _single(settlement.columns, name)
        default = settlement.defaults.get(name)
        if not parts and default is None:
            continue
        column = settlement.column_of(name)
        plans.append(FieldPlan(name, field.kind, parts, readers[name], _required(settlement, name), default, column))
    return sorted(plans, key=lambda plan: (plan.column is None, plan.column or 0))


def _single(columns: Mapping[str, int], name: str) -> tuple[str | int, ...]:
    return (columns[name],) if name in columns else ()


def _required(settlement: Settlement, name: str) -> bool:
    if name == "user_id":
        return not settlement.rules.guests
    return FIELDS[name].required or (name == "unit_price" and settlement.rules.price_required)


def _readers(settlement: Settlement) -> dict[str, Reader]:
    formats, rules = settlement.formats, settlement.rules
    kinds: dict[str, Reader] = {
        "quantity": partial(numbers.read_quantity, formats=formats.numbers, rules=rules),
        "line_no": partial(numbers.read_line_no, formats=formats.numbers),
        "age": partial(numbers.read_age, formats=formats.numbers),
        "price": partial(numbers.read_price, formats=formats, rules=rules),
        "datetime": MomentReader(formats).read,
        "name": texts.read_name,
        "raw": texts.read_raw,
        "country": texts.read_country,
        "currency": texts.read_currency,
        "status": texts.read_status,
        "email": texts.read_email,
    }
    kinds |= {kind: lru_cache(maxsize=4096)(kinds[kind]) for kind in REPETITIVE}
    readers = {name: kinds[field.kind] for name, field in FIELDS.items() if field.kind in kinds}
    for name in ("order_id", "user_id", "sku"):
        prefix = settlement.prefixes.get(name, "")
        readers[name] = partial(texts.read_id, prefix=prefix, allow_scientific=rules.allow_scientific)
    return readers


class ExactValidator:
    """Validates record by record."""

    def __init__(self, settlement: Settlement) -> None:
        self.plans = field_plans(settlement)
        self._header = settlement.header

    def check(self, ordinal: int, row: Sequence[str]) -> tuple[dict[str, Any], list[FieldError]]:
        """
        Args:
            row: the record's texts, one per column of the header, as read.
        Returns:
            field → typed value (blank fields are left out), and every error in column order.
        """
        values: dict[str, Any] = {}
        errors: list[FieldError] = []
        for plan in self.plans:
            text = plan.text(row) if plan.parts else ""
            try:
                if text:
                    values[plan.name] = plan.read(text)
                elif plan.default is not None:
                    values[plan.name] = plan.read(plan.default)
                elif plan.required:
                    raise InvalidValue("required", _REQUIRED.get(plan.name, f"A record needs its {plan.name}."))
            except InvalidValue as invalid:
                errors.append(self._error(ordinal, plan, invalid, text))
        return values, errors

    def read_field(self, name: str, row: Sequence[str]) -> Any:
        """The value of one field of a record that may be wrong elsewhere; None where it is blank or invalid itself."""
        plan = next(plan for plan in self.plans if plan.name == name)
        text = (plan.text(row) if plan.parts else "") or plan.default
        try:
            return plan.read(text) if text else None
        except InvalidValue:
            return None

    def _error(self, ordinal: int, plan: FieldPlan, invalid: InvalidValue, text: str) -> FieldError:
        column = None if plan.column is None else plan.column + 1
        name = plan.name if plan.column is None else self._header[plan.column]
        return FieldError(ordinal, column, name, invalid.code, invalid.message, shown(text))


_REQUIRED: Final = {
    "order_id": "The record has no order id, so it belongs to no order.",
    "user_id": "The record has no user id; set rules.guests to load orders of guests.",
    "sku": "The record names no item.",
    "quantity": "The record has no quantity.",
    "unit_price": "The record has no price; unset rules.price_required to load it without.",
}
