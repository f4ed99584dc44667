"""The checks of a profile's options: each turns a TOML value into the stored one, or says what is allowed."""

from __future__ import annotations

import dataclasses
import zoneinfo
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], Any]


def option(default: Any, check: Check, explains: str) -> Any:
    """
    A documented field of a profile section.

    Args:
        check: returns the stored value or raises ValueError, whose text says what is allowed.
        explains: meaning, unit and special values; shown in the documentation of profiles.
    """
    return dataclasses.field(default=default, metadata={"check": check, "explains": explains})


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def choice(*allowed: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError("one of " + ", ".join(f'"{name}"' for name in allowed))
        return value

    return check


def whole(minimum: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise ValueError(f"a whole number of at least {minimum}")
        return value

    return check


def ratio(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("a number from 0 to 1")
    return float(value)


def text(maximum: int, *, minimum: int = 0) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not minimum <= len(value) <= maximum or not value.isprintable():
            raise ValueError(f"a text of {minimum} to {maximum} printable characters")
        return value

    return check


def prose(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 2000:
        raise ValueError("a text of at most 2000 characters")
    return value.strip()


def texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
        raise ValueError("a list of texts")
    return tuple(value)


def each(check: Check, explains: str) -> Check:
    """A list of which every entry passes `check`; its order is kept."""

    def check_all(value: Any) -> tuple[Any, ...]:
        try:
            return tuple(check(part) for part in texts(value))
        except ValueError as error:
            raise ValueError(f"{explains} ({error})") from None

    return check_all


def maybe(check: Check) -> Check:
    """Also allows None, which TOML cannot write and which means "not set"."""
    return lambda value: None if value is None else check(value)


def time_zone(value: Any) -> str:
    if not isinstance(value, str) or value not in zoneinfo.available_timezones():
        raise ValueError('a time zone of the IANA database such as "UTC" or "Europe/London"')
    return value


def id_prefix(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 32 or not value.isprintable() or value != value.lstrip():
        raise ValueError("a text of at most 32 printable characters that does not begin with a space")
    return value
