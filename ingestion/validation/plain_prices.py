"""Prices, a column at a time."""

from __future__ import annotations

import re

import polars as pl

from ingestion.profiles.settlement import SettledFormats, SettledRules
from ingestion.validation.exact import Reader
from ingestion.validation.records import PRICE


class PlainPrices:
    """
    Takes digits with at most four decimals, in the settled number format, without signs.

    While two formats are possible, exactly three decimals may be a group of thousands: such texts are left out. So are
    zeros where they are not allowed.
    """

    def __init__(self, formats: SettledFormats, rules: SettledRules) -> None:
        self._styles = formats.numbers
        decided = len(formats.numbers) == 1
        points = "".join(sorted({style.decimal for style in formats.numbers}))
        decimals = "[0-9]{1,4}" if decided else "(?:[0-9]{1,2}|[0-9]{4})"
        self._shape = rf"^[0-9]{{1,14}}(?:[{re.escape(points)}]{decimals})?$"
        self._comma = "," in points
        self._zero = rules.zero_prices

    def read(self, read: Reader, texts: pl.Series) -> tuple[pl.Series, pl.Series | None]:
        """The prices, and the rows that are not plain (None = all are)."""
        plain = texts.str.contains(self._shape).fill_null(True)
        if self._comma:
            texts = texts.str.replace(",", ".", literal=True)
        prices = texts.cast(PRICE, strict=False)
        if not self._zero:
            plain &= (prices != 0).fill_null(True)
        return prices, None if plain.all() else ~plain
