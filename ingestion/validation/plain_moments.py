"""Dates and times, a column at a time."""

from __future__ import annotations

import polars as pl

from ingestion.profiles.settlement import SettledFormats
from ingestion.validation.exact import Reader
from ingestion.validation.records import MOMENT


class PlainMoments:
    """Reads distinct texts by the exact reader."""

    def __init__(self, formats: SettledFormats) -> None:
        self._formats = formats

    def read(self, read: Reader, texts: pl.Series) -> tuple[pl.Series, pl.Series | None]:
        from ingestion.validation.vectorised import by_distinct

        found = by_distinct(read, texts, MOMENT, most=texts.len())
        assert found is not None
        return found
