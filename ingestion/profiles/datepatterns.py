"""
Date patterns: a small, strict part of strptime, and the only definition of what a date text means.

Python's and Rust's strptime are lenient in different ways (white space, signs, leap seconds), so a pattern is
compiled to a regular expression and read field by field here; faster readers must agree with this one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from typing import Final

OPTIONAL_TIME: Final = "[time]"
SAFE_TOKENS: Final = "%Y %y %m %d %H %I %M %S %f %p %z"
ALLOWED: Final = (
    f'a pattern of {SAFE_TOKENS}, with year, month and day once each, "{OPTIONAL_TIME}" '
    "and the characters space T / . - : , _"
)
_LITERALS: Final = " T/.-:,_"
_REGEX: Final = {
    "Y": "[0-9]{4}",
    "y": "[0-9]{2}",
    "M": "[0-9]{2}",
    "S": "[0-9]{2}",
    "f": "[0-9]{1,9}",
    "p": r"[AaPp]\.?[Mm]\.?",
    "z": "Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?",
}
_TIME: Final = (
    r"(?:(?:T| +)(?:(?P<H>[0-9]{1,2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})(?:[.,](?P<f>[0-9]{1,9}))?)?"
    r"(?: ?(?P<p>[AaPp]\.?[Mm]\.?))?)(?: ?(?P<z>Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?))?)?"
)
MIN_YEAR: Final = 1900
MAX_YEAR: Final = 2199


class TooFineError(ValueError):
    """A fraction of a second with more than six digits that are not zero."""


@dataclass(frozen=True)
class Civil:
    """A date text as read: wall-clock time, its offset from UTC if the text had one, and whether it had a time."""

    wall: datetime
    offset: timedelta | None
    has_time: bool


@dataclass(frozen=True)
class DatePattern:
    """
    A pattern such as `%d.%m.%Y %H:%M` or `%Y-%m-%d[time]`; `[time]` stands for an optional time of day.

    Raises:
        ValueError: an unsafe token, or not exactly one year, month and day.
    """

    pattern: str

    def __post_init__(self) -> None:
        _ = self.regex
        names = [name.replace("y", "Y").replace("I", "H") for name in self.regex.groupindex]
        if any(names.count(part) != 1 for part in "Ymd") or len(set(names)) != len(names):
            raise ValueError(ALLOWED)
        if ("I" in self.regex.groupindex) != ("%p" in self.pattern) or ("S" in names and "M" not in names):
            raise ValueError(f"{ALLOWED}; %I and %p only together")

    @cached_property
    def regex(self) -> re.Pattern[str]:
        try:
            return re.compile("".join(self._parts()))
        except re.error:
            raise ValueError(ALLOWED) from None

    def _parts(self) -> list[str]:
        tokens = re.findall(r"\[time\]|%.|.", self.pattern, re.DOTALL)
        parts = []
        for number, token in enumerate(tokens):
            glued = any(0 <= near < len(tokens) and tokens[near].startswith("%") for near in (number - 1, number + 1))
            parts.append(_part(token, glued=glued))
        return parts

    def read(self, text: str) -> Civil | None:
        """
        Read a text that has this pattern's shape; None when it has not, or names no real date or time.

        Raises:
            TooFineError: it is finer than a microsecond.
        """
        match = self.regex.fullmatch(text)
        if match is None:
            return None
        found = match.groupdict()
        try:
            wall = datetime(  # noqa: DTZ001 - wall-clock time; the caller knows the zone
                _year(found),
                int(found["m"]),
                int(found["d"]),
                _hour(found),
                int(found.get("M") or 0),
                int(found.get("S") or 0),
                _microsecond(found.get("f") or ""),
            )
            return Civil(wall=wall, offset=_offset(found.get("z")), has_time=_has_time(found))
        except TooFineError:
            raise
        except ValueError:
            return None


def _part(token: str, *, glued: bool) -> str:
    if token == OPTIONAL_TIME:
        return _TIME
    if token[0] == "%" and token[1:] in tuple("mdHI"):
        return f"(?P<{token[1]}>[0-9]{{{'2' if glued else '1,2'}}})"
    if token[0] == "%" and token[1:] in _REGEX:
        return f"(?P<{token[1]}>{_REGEX[token[1]]})"
    if token in _LITERALS:
        return re.escape(token)
    raise ValueError(ALLOWED)


def _has_time(found: dict[str, str | None]) -> bool:
    return (found.get("H") or found.get("I")) is not None


def _year(found: dict[str, str | None]) -> int:
    if found.get("Y") is not None:
        return int(found["Y"] or 0)
    short = int(found["y"] or 0)
    return short + (1900 if short >= 69 else 2000)  # POSIX strptime


def _hour(found: dict[str, str | None]) -> int:
    hour = int(found.get("H") or found.get("I") or 0)
    half = found.get("p")
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError("a 12-hour clock has hours 1 to 12")
    return hour % 12 + (12 if half[0] in "pP" else 0)


def _microsecond(digits: str) -> int:
    if digits[6:].strip("0"):
        raise TooFineError
    return int(digits[:6].ljust(6, "0")) if digits else 0


def _offset(text: str | None) -> timedelta | None:
    if text is None:
        return None
    if text in ("Z", "UTC", "GMT"):
        return timedelta(0)
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 15 or minutes > 59:
        raise ValueError("no such offset")
    return timedelta(hours=hours, minutes=minutes) * (-1 if text[0] == "-" else 1)


@lru_cache(maxsize=256)
def date_pattern(pattern: str) -> DatePattern:
    """The compiled pattern. Raises ValueError with what is allowed."""
    return DatePattern(pattern)


def checked_pattern(value: str) -> str:
    """The pattern itself when it is safe. Raises ValueError with what is allowed."""
    return date_pattern(value).pattern
