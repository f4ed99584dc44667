"""The reader of dates and times: a trimmed, non-blank text becomes a moment in UTC, or InvalidValue is raised."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from ingestion.profiles.datepatterns import MAX_YEAR, MIN_YEAR, Civil, TooFineError, date_pattern
from ingestion.profiles.settlement import SettledFormats
from ingestion.validation.codes import InvalidValue

_DAY: Final = timedelta(days=1)
_LONGEST: Final = 64


class MomentReader:
    """
    Reads with the settled patterns and time zone.

    A local time that the end of summer time repeats is rejected unless `repeated_time` decides; one that its start
    skips does not exist and is rejected. A date without a time is the first moment of that local day.
    """

    def __init__(self, formats: SettledFormats) -> None:
        self._patterns = tuple(date_pattern(pattern) for pattern in formats.date_formats)
        self._zone = ZoneInfo(formats.time_zone)
        self.is_utc = formats.time_zone == "UTC"
        self._repeated = formats.repeated_time
        self._name = formats.time_zone
        self.read = lru_cache(maxsize=4096)(self._read)
        self.offset_of_day = lru_cache(maxsize=8192)(self._offset_of_day)

    def _read(self, text: str) -> datetime:
        civil = self.civil(text)
        if not MIN_YEAR <= civil.wall.year <= MAX_YEAR:
            raise InvalidValue("out_of_range", f"The year is not between {MIN_YEAR} and {MAX_YEAR}.")
        if civil.offset is not None:
            return (civil.wall - civil.offset).replace(tzinfo=UTC)
        return civil.wall.replace(tzinfo=UTC) if self.is_utc else self._from_local(civil)

    def civil(self, text: str) -> Civil:
        """The wall-clock reading on which all patterns agree. Raises InvalidValue."""
        found = []
        try:
            found = [civil for pattern in self._patterns if (civil := pattern.read(text[:_LONGEST])) is not None]
        except TooFineError:
            raise InvalidValue("too_precise", "The time is finer than a microsecond; it is not rounded.") from None
        if not found or len(text) > _LONGEST:
            raise InvalidValue("invalid_datetime", f"It is no date written as {' or '.join(self._shapes())}.")
        if any(civil != found[0] for civil in found):
            readings = " or ".join(sorted({f"{civil.wall.day} {civil.wall:%B %Y}" for civil in found}))
            raise InvalidValue("ambiguous_datetime", f"It can be {readings}; set formats.day_first in the profile.")
        return found[0]

    def _shapes(self) -> list[str]:
        return [pattern.pattern.replace("[time]", " with or without a time") for pattern in self._patterns]

    def _from_local(self, civil: Civil) -> datetime:
        earlier, later = (civil.wall.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if earlier == later or not civil.has_time:
            return earlier  # for a date whose midnight is skipped, this is the moment of the change
        if earlier > later:
            raise InvalidValue(
                "invalid_datetime", f"This time does not exist in {self._name}: clocks were put forward."
            )
        if self._repeated == "reject":
            raise InvalidValue(
                "ambiguous_datetime",
                f"This time occurs twice in {self._name}, when clocks are put back; give it an offset such as +01:00, "
                "or set formats.repeated_time.",
            )
        return earlier if self._repeated == "earlier" else later

    def _offset_of_day(self, day: date) -> timedelta | None:
        """The zone's offset from UTC when it is the same for the whole local day, else None."""
        if self.is_utc:
            return timedelta(0)
        start = datetime.combine(day, time())
        moments = [
            (start + step).replace(tzinfo=self._zone, fold=fold).utcoffset()
            for step in (timedelta(0), _DAY / 2, _DAY)
            for fold in (0, 1)
        ]
        return moments[0] if len(set(moments)) == 1 else None
