"""
Dates and times, a column at a time: date part and time part are read apart, each distinct text of them once.

An import has few different days and at most some ten thousand different times of day, so the exact reader stays the
only one that knows what a text means, and the columns are put together by arithmetic.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

import polars as pl

from ingestion.profiles.datepatterns import MAX_YEAR, MIN_YEAR, OPTIONAL_TIME, TooFineError, date_pattern
from ingestion.profiles.settlement import SettledFormats
from ingestion.validation.codes import InvalidValue
from ingestion.validation.distinct import by_distinct, map_distinct
from ingestion.validation.exact import Reader
from ingestion.validation.iso_moments import iso_is_alone, read_iso, read_long_iso
from ingestion.validation.moments import MomentReader
from ingestion.validation.records import MOMENT

_MICROSECOND: Final = timedelta(microseconds=1)
_ANY_DAY: Final = "2000-01-01"
CACHED_TIMES: Final = 100_000  # a day has 86,400 seconds
MAX_ENDINGS: Final = 1000
Pair = tuple[int | None, int | None]


class PlainMoments:
    """Reads what can be taken apart; days on which the zone's offset changes are left to the exact reader."""

    def __init__(self, formats: SettledFormats) -> None:
        self._iso = iso_is_alone(formats.date_formats)
        self._whole = MomentReader(formats)
        split = _split(formats.date_formats)
        self._separable = split is not None
        heads, tail = split or ((), "")
        self._dates = MomentReader(replace(formats, date_formats=heads))
        self._tail = date_pattern(f"%Y-%m-%d{tail}")
        self._time = lru_cache(maxsize=CACHED_TIMES)(self._read_time)

    def read(self, read: Reader, texts: pl.Series) -> tuple[pl.Series, pl.Series | None]:
        """The moments, and the rows that are not plain (None = all are)."""
        if self._iso:
            walls = read_iso(texts)
            if walls is not None:
                return self._place(walls)
            longer = read_long_iso(texts)
            if longer is not None and longer[1].n_unique() <= MAX_ENDINGS:
                return self._place_long(*longer)
        few = by_distinct(read, texts, MOMENT, most=texts.len() // 64 if self._separable else texts.len())
        return self._by_parts(texts) if few is None else few

    def _place(self, walls: pl.Series) -> tuple[pl.Series, pl.Series | None]:
        """From wall-clock time to UTC; rows on days with a change of offset stay doubtful, as those that are null."""
        moments = walls
        if not self._whole.is_utc:
            moments = walls - map_distinct(walls.dt.date(), self._offset, pl.Duration("us"))
        unsure = moments.is_null()
        return moments.dt.replace_time_zone("UTC"), unsure if unsure.any() else None

    def _place_long(self, walls: pl.Series, rests: pl.Series) -> tuple[pl.Series, pl.Series | None]:
        """As `_place`, where an ending such as Z or +02:00 takes the place of the zone; no other ending is plain."""
        known = map_distinct(rests, self._own_offset, pl.Int64)
        moments = walls - known.cast(pl.Duration("us"))
        bare = rests == ""
        if bare.any():
            local, _ = self._place(walls)
            moments = local.dt.replace_time_zone(None).zip_with(bare, moments)
        unsure = moments.is_null()
        return moments.dt.replace_time_zone("UTC"), unsure if unsure.any() else None

    def _own_offset(self, ending: str) -> int | None:
        micros, offset = self._time(f" 00:00:00{ending}")
        return offset if micros == 0 else None

    def _offset(self, day: date) -> timedelta | None:
        return self._whole.offset_of_day(day)

    def _by_parts(self, texts: pl.Series) -> tuple[pl.Series, pl.Series | None]:
        sign = "T" if "T" in str(texts.drop_nulls().first()) else " "
        parts = texts.str.splitn(sign, 2).struct
        dates, times = parts.field("field_0"), parts.field("field_1")
        micros = map_distinct(dates, self._midnight, pl.Int64)
        if times.null_count() < times.len():
            micros = micros + map_distinct(times, lambda text: self._time(sign + text)[0], pl.Int64).set(
                times.is_null(), 0
            )
            shifts = self._shifts(dates, times, sign)
        else:
            shifts = map_distinct(dates, self._day_shift, pl.Int64)
        moments = (micros - shifts).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        unsure = moments.is_null() & texts.is_not_null()
        return moments, unsure if unsure.any() else None

    def _shifts(self, dates: pl.Series, times: pl.Series, sign: str) -> pl.Series:
        """Microseconds to subtract: the text's own offset, else the zone's on that day."""
        days = map_distinct(dates, self._day_shift, pl.Int64)
        own = map_distinct(times, lambda text: self._time(sign + text)[1], pl.Int64)
        return own.zip_with(own.is_not_null(), days)

    def _midnight(self, text: str) -> int | None:
        try:
            wall = self._dates.civil(text).wall
        except InvalidValue:
            return None
        return _micros(wall - _EPOCH) if MIN_YEAR <= wall.year <= MAX_YEAR else None

    def _day_shift(self, text: str) -> int | None:
        try:
            offset = self._dates.offset_of_day(self._dates.civil(text).wall.date())
        except InvalidValue:
            return None
        return None if offset is None else _micros(offset)

    def _read_time(self, text: str) -> Pair:
        try:
            civil = self._tail.read(_ANY_DAY + text)
        except TooFineError:
            return None, None
        if civil is None:
            return None, None
        return _micros(civil.wall - _DAY_ONE), None if civil.offset is None else _micros(civil.offset)


_EPOCH: Final = date_pattern("%Y-%m-%d").read("1970-01-01").wall  # type: ignore[union-attr]
_DAY_ONE: Final = date_pattern("%Y-%m-%d").read(_ANY_DAY).wall  # type: ignore[union-attr]


def _micros(span: timedelta) -> int:
    return span // _MICROSECOND


def _split(patterns: tuple[str, ...]) -> tuple[tuple[str, ...], str] | None:
    """Date parts and the common time part of the patterns; None where a text cannot be cut at its first space or T."""
    heads = tuple(pattern.removesuffix(OPTIONAL_TIME) for pattern in patterns)
    tail = OPTIONAL_TIME
    if not all(pattern.endswith(OPTIONAL_TIME) for pattern in patterns):
        head, space, rest = patterns[0].partition(" ")
        if len(patterns) > 1 or not space or any(f"%{part}" in rest for part in "Yymd"):
            return None
        heads, tail = (head,), f" {rest}"
    return (
        None
        if any(sign in head for head in heads for sign in " T") or OPTIONAL_TIME in "".join(heads)
        else (heads, tail)
    )
