"""Number formats: which sign separates decimals, which ones group thousands, and what a text then means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Final

GROUPING_SIGNS: Final = (",", ".", " ", "\u00a0", "\u202f", "'", "\u2019", "_")


@dataclass(frozen=True, order=True)
class NumberFormat:
    """
    One way to write numbers.

    Args:
        decimal: "." or ",".
        thousands: every sign in it may group digits by three; "" = no grouping.
    """

    decimal: str = "."
    thousands: str = ""

    @cached_property
    def regex(self) -> re.Pattern[str]:
        point = re.escape(self.decimal)
        whole = "[0-9]+"
        if self.thousands:
            sign = f"[{re.escape(self.thousands)}]"
            whole = rf"(?:[1-9][0-9]{{0,2}}(?P<sign>{sign})[0-9]{{3}}(?:(?P=sign)[0-9]{{3}})*|[0-9]+)"
        return re.compile(
            rf"(?P<minus>[+-]?)(?:(?P<whole>{whole})(?:{point}(?P<part>[0-9]*))?|{point}(?P<only>[0-9]+))"
        )

    def read(self, text: str) -> Decimal | None:
        """The number that the text is in this format, with all its digits; None when it is none."""
        match = self.regex.fullmatch(text)
        if match is None:
            return None
        whole = re.sub("[^0-9]", "", match["whole"] or "0")
        return Decimal(f"{match['minus']}{whole}.{match['part'] or match['only'] or '0'}")


def readings(text: str, formats: Sequence[NumberFormat]) -> set[Decimal]:
    """All different numbers that the text can be: one = clear, none = not a number, more = ambiguous."""
    found = (style.read(text) for style in formats)
    return {number for number in found if number is not None}


def strip_sign(text: str, signs: Sequence[str]) -> str:
    """The text without one currency sign at its beginning (also after a minus) or its end."""
    minus = text[:1] if text[:1] in ("-", "+") else ""
    body = text[len(minus) :]
    for sign in signs:
        if body.startswith(sign):
            rest = body[len(sign) :].lstrip(" \u00a0\u202f")
            return minus + rest if minus else rest
        if body.endswith(sign):
            return minus + body[: -len(sign)].rstrip(" \u00a0\u202f")
    return text
