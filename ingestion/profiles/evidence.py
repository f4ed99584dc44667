"""What sample values prove about the formats of a file: sentences for people, formats for the validator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ingestion.profiles.datepatterns import OPTIONAL_TIME, Civil, TooFineError, date_pattern
from ingestion.profiles.definition import Formats
from ingestion.profiles.numberformats import NumberFormat, strip_sign

ISO: Final = f"%Y-%m-%d{OPTIONAL_TIME}"
_CLEAR_DATES: Final = (
    f"%Y/%m/%d{OPTIONAL_TIME}",
    f"%Y.%m.%d{OPTIONAL_TIME}",
    f"%Y%m%d{OPTIONAL_TIME}",
    "%Y%m%dT%H%M%S",
    "%Y%m%d%H%M%S",
)
_YEAR_LAST: Final = (("/", "%Y"), ("-", "%Y"), (".", "%Y"), ("/", "%y"), (".", "%y"))
_SPACES: Final = " \u00a0\u202f'\u2019"
CURRENCY_SIGNS: Final = {
    "€": "EUR",
    "£": "GBP",
    "$": "",
    "¥": "",
    "₹": "INR",
    "zł": "PLN",
    "kr": "",
    "R$": "BRL",
    "US$": "USD",
    "A$": "AUD",
    "C$": "CAD",
    "CHF": "CHF",
    "EUR": "EUR",
    "USD": "USD",
    "GBP": "GBP",
}


@dataclass
class Findings:
    """Sentences that the preview shows."""

    evidence: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def settle_dates(values: Sequence[str], formats: Formats, findings: Findings) -> tuple[str, ...]:
    """
    The date patterns of a file.

    Args:
        values: distinct non-blank trimmed samples of the date column.
    """
    if formats.date_formats:
        return _warn_unread(values, formats.date_formats, findings)
    patterns = [ISO, *(pattern for pattern in _CLEAR_DATES if any(_read(pattern, value) for value in values))]
    pairs = [_pair(sign, year) for sign, year in _YEAR_LAST]
    seen = [pair for pair in pairs if any(_read(pattern, value) for pattern in pair for value in values)]
    keep = _order(values, seen, formats.day_first, findings) if seen else (0, 1)
    if not seen and formats.day_first is not None:
        seen, keep = pairs[:3], (0,) if formats.day_first else (1,)
    for pair in seen:
        patterns += [pair[position] for position in keep]
        if "%y" in pair[0]:
            findings.warnings.append("Years have two digits in some dates; 69-99 are read as 1969-1999.")
    return _warn_unread(values, tuple(patterns), findings)


def _pair(sign: str, year: str) -> tuple[str, str]:
    return f"%d{sign}%m{sign}{year}{OPTIONAL_TIME}", f"%m{sign}%d{sign}{year}{OPTIONAL_TIME}"


def _read(pattern: str, value: str) -> Civil | None:
    try:
        return date_pattern(pattern).read(value)
    except TooFineError:
        return None


def _order(
    values: Sequence[str], pairs: Sequence[tuple[str, str]], day_first: bool | None, findings: Findings
) -> tuple[int, ...]:
    """Positions within each pair that stay possible: (0,) day first, (1,) month first, (0, 1) undecided."""
    if day_first is not None:
        findings.evidence.append(f"The profile says that dates have the {'day' if day_first else 'month'} first.")
        return (0,) if day_first else (1,)
    day = _example(values, lambda value: any(_read(d, value) and not _read(m, value) for d, m in pairs))
    month = _example(values, lambda value: any(_read(m, value) and not _read(d, value) for d, m in pairs))
    if (day is None) != (month is None):
        first, example = ("day", day) if month is None else ("month", month)
        findings.evidence.append(f"Dates have the {first} first: {example} cannot be read the other way round.")
        return (0,) if month is None else (1,)
    why = f"both orders occur ({day} and {month})" if day else f"no date settles it, such as {values[0]}"
    findings.warnings.append(
        f"It is not clear whether dates have the day or the month first: {why}. Dates that can be read "
        "both ways will be rejected; set formats.day_first in the profile."
    )
    return (0, 1)


def _example(values: Iterable[str], test: Callable[[str], bool]) -> str | None:
    return next((value for value in values if test(value)), None)


def _warn_unread(values: Sequence[str], patterns: tuple[str, ...], findings: Findings) -> tuple[str, ...]:
    unread = [value for value in values if not any(_read(pattern, value) for pattern in patterns)]
    if unread:
        findings.warnings.append(
            f"{len(unread)} of {len(values)} different dates of the sample cannot be read, such as {unread[0]!r}; "
            "formats.date_formats in the profile says how they are written."
        )
    if any(civil and civil.offset is None for value in values for civil in (_read(p, value) for p in patterns)):
        findings.evidence.append(f"Dates are read as {', '.join(patterns)}.")
    return patterns


def settle_signs(values: Sequence[str], formats: Formats, findings: Findings) -> tuple[str, ...]:
    """The currency sign that the prices of the sample carry; two different ones settle nothing."""
    if formats.currency_signs is not None:
        return formats.currency_signs
    longest_first = sorted(CURRENCY_SIGNS, key=len, reverse=True)
    signed = [value for value in values if not (value[0].isdecimal() and value[-1].isdecimal())]
    seen = sorted({sign for value in signed if (sign := _carried(value, longest_first)) is not None})
    if len(seen) > 1:
        findings.warnings.append(
            f"Prices carry different currency signs ({' '.join(seen)}) and are rejected where they do; "
            "name the signs in formats.currency_signs if they may be dropped."
        )
        return ()
    if seen:
        findings.evidence.append(f"Prices carry the sign {seen[0]}, which is left out.")
    return tuple(seen)


def _carried(value: str, longest_first: Sequence[str]) -> str | None:
    return next((sign for sign in longest_first if strip_sign(value, [sign]) != value), None)


def settle_numbers(values: Sequence[str], formats: Formats, findings: Findings) -> tuple[NumberFormat, ...]:
    """
    The number formats of a file: one when decided, two when a text such as 1,234 stays ambiguous.

    Args:
        values: distinct non-blank trimmed samples of prices and quantities, without currency signs.
    """
    given = formats.thousands_separators
    both = tuple(
        NumberFormat(decimal, "".join(given) if given is not None else other + _SPACES)
        for decimal, other in ((".", ","), (",", "."))
        if formats.decimal_separator in (None, decimal) and decimal not in (given or ())
    )
    if len(both) == 2:
        both = _decide(values, both, findings)
    if given is not None:
        return tuple(NumberFormat(style.decimal, "".join(sorted(given))) for style in both)
    if len(both) == 2:
        return tuple(NumberFormat(style.decimal, other) for style, other in zip(both, (",", "."), strict=True))
    return (_with_seen_grouping(values, both[0], findings),)


def _decide(values: Sequence[str], both: tuple[NumberFormat, ...], findings: Findings) -> tuple[NumberFormat, ...]:
    point, comma = both
    only_point = _example(values, lambda text: point.read(text) is not None and comma.read(text) is None)
    only_comma = _example(values, lambda text: comma.read(text) is not None and point.read(text) is None)
    if (only_point is None) != (only_comma is None):
        sign, example = (".", only_point) if only_comma is None else (",", only_comma)
        findings.evidence.append(f'The decimal separator is "{sign}": {example} cannot be read otherwise.')
        return (point,) if sign == "." else (comma,)
    unclear = _example(values, lambda text: point.read(text) != comma.read(text))
    if unclear is not None:
        why = f"{only_point} and {only_comma} contradict each other" if only_point else f"{unclear} reads both ways"
        findings.warnings.append(
            f"The decimal separator is not clear: {why}. Numbers that can be read both ways will be rejected; "
            "set formats.decimal_separator in the profile."
        )
    return both


def _with_seen_grouping(values: Sequence[str], style: NumberFormat, findings: Findings) -> NumberFormat:
    signs: set[str] = set()
    for text in values:
        match = style.regex.fullmatch(text)
        if match is not None and match.groupdict().get("sign"):
            signs.add(match["sign"])
    if signs:
        findings.evidence.append(
            "Thousands are grouped by " + " and ".join(f'"{sign}"' for sign in sorted(signs)) + "."
        )
    return NumberFormat(style.decimal, "".join(sorted(signs)))
