"""Readers of numbers. Each takes a trimmed, non-blank text and returns the stored value or raises InvalidValue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from ingestion.profiles.numberformats import NumberFormat, readings, strip_sign
from ingestion.profiles.settlement import SettledFormats, SettledRules
from ingestion.validation.codes import InvalidValue

MAX_INT32: Final = 2**31 - 1
MAX_AGE: Final = 150
PRICE_LIMIT: Final = Decimal(10) ** 14
_DIGITS: Final = re.compile("[+-]?[0-9]+")
_SCALE: Final = Decimal("0.0001")


def read_whole(text: str, formats: Sequence[NumberFormat]) -> int:
    """A whole number; grouped thousands where the formats agree about them. `2.0` is none."""
    if len(text) <= 64:
        if _DIGITS.fullmatch(text):
            return int(text)
        found = readings(text, formats)
        if len(found) == 1 and not any(_has_decimals(text, style) for style in formats):
            return int(found.pop())
    raise InvalidValue("invalid_integer", "A whole number is needed, written with digits only." + _advice(text))


def _has_decimals(text: str, style: NumberFormat) -> bool:
    match = style.regex.fullmatch(text)
    return match is not None and (match["part"] is not None or match["only"] is not None)


def _advice(text: str) -> str:
    if re.fullmatch(r"[+-]?[0-9]+[.,]0*", text):
        return " Remove the decimals."
    return " Write it without exponent." if re.fullmatch(r"[+-]?[0-9.,]+[eE][+-]?[0-9]+", text) else ""


def read_quantity(text: str, formats: Sequence[NumberFormat], rules: SettledRules) -> int:
    number = _int32(read_whole(text, formats))
    if number == 0:
        raise InvalidValue("out_of_range", "A quantity of zero orders nothing.")
    if number < 0 and not rules.returns:
        raise InvalidValue("out_of_range", "The quantity is negative; set rules.returns to load returns.")
    return number


def read_line_no(text: str, formats: Sequence[NumberFormat]) -> int:
    number = _int32(read_whole(text, formats))
    if number < 1:
        raise InvalidValue("out_of_range", "Line numbers begin at 1.")
    return number


def read_age(text: str, formats: Sequence[NumberFormat]) -> int:
    number = read_whole(text, formats)
    if not 0 <= number <= MAX_AGE:
        raise InvalidValue("out_of_range", f"An age is a number from 0 to {MAX_AGE}.")
    return number


def _int32(number: int) -> int:
    if abs(number) > MAX_INT32:
        raise InvalidValue("out_of_range", f"The number is too large; at most {MAX_INT32:,} is possible.")
    return number


def read_price(text: str, formats: SettledFormats, rules: SettledRules) -> Decimal:
    price = _decimal(strip_sign(text, formats.currency_signs) if formats.currency_signs else text, formats.numbers)
    if abs(price) >= PRICE_LIMIT:
        raise InvalidValue(
            "out_of_range", "The price is too large; at most 14 digits before the decimals are possible."
        )
    exact = price.quantize(_SCALE)
    if exact != price:
        raise InvalidValue("too_precise", "The price has more than 4 decimals; it is not rounded.")
    if price < 0 and not rules.negative_prices:
        raise InvalidValue("out_of_range", "The price is negative; set rules.negative_prices to load such records.")
    if price == 0 and not rules.zero_prices:
        raise InvalidValue("out_of_range", "The price is zero; set rules.zero_prices to load such records.")
    return abs(exact) if exact == 0 else exact


def _decimal(text: str, formats: Sequence[NumberFormat]) -> Decimal:
    found = readings(text, formats) if len(text) <= 256 else set()
    if len(found) == 1:
        return found.pop()
    if found:
        raise InvalidValue(
            "invalid_decimal",
            f"It can be read as {' or '.join(f'{number:f}' for number in sorted(found))}; "
            "set formats.decimal_separator in the profile.",
        )
    style = formats[0]
    grouped = f' and thousands grouped by "{style.thousands}"' if len(formats) == 1 and style.thousands else ""
    separator = f'"{style.decimal}"' if len(formats) == 1 else '"." or ","'
    raise InvalidValue("invalid_decimal", f"It is not a number with the decimal separator {separator}{grouped}.")
