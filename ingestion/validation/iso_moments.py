"""`2025-01-31 23:59:59` by arithmetic on the bytes of a whole column: twice as fast as a date parser."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from ingestion.profiles.datepatterns import MAX_YEAR, MIN_YEAR, date_pattern
from ingestion.profiles.evidence import ISO

_WIDTH: Final = 19
_SAMPLES: Final = ("2001-02-03 04:05:06", "2001-02-03T04:05:06")
_DIGITS: Final = np.array([0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18])
_SIGNS: Final = {4: "-", 7: "-", 13: ":", 16: ":"}
_MONTHS: Final = np.arange(f"{MIN_YEAR}-01", f"{MAX_YEAR + 1}-01", dtype="datetime64[M]")
_FIRST_DAY: Final = _MONTHS.astype("datetime64[D]").astype(np.int64)
_LENGTH: Final = np.diff(np.append(_FIRST_DAY, np.datetime64(f"{MAX_YEAR + 1}-01-01", "D").astype(np.int64)))


def iso_is_alone(patterns: tuple[str, ...]) -> bool:
    """Whether ISO texts are read by the ISO pattern and by no other: shapes consist of digits, so one sample tells."""
    readers = [[pattern for pattern in patterns if date_pattern(pattern).regex.fullmatch(text)] for text in _SAMPLES]
    return all(found == [ISO] for found in readers)


def read_iso(texts: pl.Series) -> pl.Series | None:
    """
    Wall-clock times, null where a text is not plainly one.

    Returns:
        None when the texts do not all have 19 bytes: then this method does not apply.
    """
    lengths = texts.str.len_bytes()
    if texts.null_count() or not texts.len() or lengths.min() != _WIDTH or lengths.max() != _WIDTH:
        return None
    array = texts.to_arrow()
    start = array.offset * _WIDTH
    chars = np.frombuffer(array.buffers()[2], dtype=np.uint8, count=texts.len() * _WIDTH, offset=start)
    return _read(chars.reshape(-1, _WIDTH))


def read_long_iso(texts: pl.Series) -> tuple[pl.Series, pl.Series] | None:
    """
    As `read_iso`, for texts of which some go on after the seconds with a fraction, an offset or both.

    Returns:
        wall-clock times, and what follows the fraction: never a digit, so that it can be read apart.
    """
    walls = read_iso(texts.str.slice(0, _WIDTH))
    if walls is None:
        return None
    tails = texts.str.slice(_WIDTH)
    fraction = tails.str.extract(r"^[.]([0-9]{1,6})(?:[^0-9.,]|$)", 1)
    rests = tails.str.replace(r"^[.][0-9]{1,6}", "")
    walls = walls + fraction.str.pad_end(6, "0").cast(pl.Int64).fill_null(0).cast(pl.Duration("us"))
    plain = rests.str.contains(r"^(?:[^0-9.,]|$)")
    return (walls if plain.all() else walls.set(~plain, None)), rests


def _read(chars: np.ndarray) -> pl.Series:
    columns = np.ascontiguousarray(chars.T)
    good = (columns[10] == ord(" ")) | (columns[10] == ord("T"))
    for position, sign in _SIGNS.items():
        good &= columns[position] == ord(sign)
    digits = columns[_DIGITS] - 48  # what is no digit becomes 10 or more
    good &= digits.max(axis=0) < 10
    two = digits[0::2] * 10 + digits[1::2]
    years = two[0].astype(np.int32) * 100 + two[1]
    month, day, hour, minute, second = two[2:]
    good &= (years >= MIN_YEAR) & (years <= MAX_YEAR) & (month >= 1) & (month <= 12) & (day >= 1)
    good &= (hour < 24) & (minute < 60) & (second < 60)
    index = np.where(good, (years - MIN_YEAR) * 12 + month - 1, 0)
    good &= day <= _LENGTH[index]
    seconds = (_FIRST_DAY[index] + day - 1) * 86_400 + hour * np.int64(3600) + minute * np.int64(60) + second
    walls = pl.Series((seconds * 1_000_000).view("datetime64[us]"))
    return walls if good.all() else walls.set(pl.Series(~good), None)
