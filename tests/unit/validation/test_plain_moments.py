"""Columns of dates read at once mean what the exact reader says about each of them."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st

from ingestion.profiles import SettledFormats
from ingestion.profiles.numberformats import NumberFormat
from ingestion.validation import distinct
from ingestion.validation.codes import InvalidValue
from ingestion.validation.iso_moments import iso_is_alone, read_iso
from ingestion.validation.moments import MomentReader
from ingestion.validation.plain_moments import PlainMoments
from tests.thorough import examples

ISO = "%Y-%m-%d[time]"
SETTLED = [(ISO,), (ISO, "%d/%m/%Y[time]"), (ISO, "%d/%m/%Y[time]", "%m/%d/%Y[time]"), ("%m/%d/%Y %H:%M",),
           ("%Y-%d-%m[time]", ISO), ("%d.%m.%Y %I:%M %p", "%d.%m.%Y"), ("%Y%m%d%H%M%S",)]  # fmt: skip
ZONES = ["UTC", "Europe/London", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Casablanca"]


def formats(patterns: tuple[str, ...], zone: str = "UTC", repeated: str = "reject") -> SettledFormats:
    return SettledFormats(
        date_formats=patterns, time_zone=zone, repeated_time=repeated, numbers=(NumberFormat(),), currency_signs=()
    )


def exact(reader: MomentReader, text: str) -> datetime | None:
    try:
        return reader.read(text)
    except InvalidValue:
        return None


def number(low: int, high: int, width: int) -> st.SearchStrategy[str]:
    return st.integers(low, high).map(lambda value: str(value).zfill(width))


# Right shapes with wrong numbers, and a wrong character now and then.
shapes = st.builds(
    "{}-{}-{}{}{}:{}:{}{}".format,
    number(1895, 2205, 4), number(0, 13, 2), number(0, 32, 2), st.sampled_from("  T"), number(0, 25, 2),
    number(0, 61, 2), number(0, 61, 2), st.sampled_from(["", "", "", "", ".5", ".123456", ".1234560", ".1234567", "Z",
                                                          "+02:00", ".25-0330", " PM", ".5.5", ",5", ".5Z", "5"]),
)  # fmt: skip
spoiled = st.builds(
    lambda text, at, char: text[: at % len(text)] + char + text[at % len(text) + 1 :],
    shapes, st.integers(0, 40), st.sampled_from("0/:;x -\u0661"),
)  # fmt: skip
others = st.builds("{}/{}/{} {}:{}".format, number(1, 13, 1), number(1, 13, 1), number(2024, 2026, 4), number(0, 24, 1),
                   number(0, 60, 2))  # fmt: skip
near_changes = st.sampled_from(["2018-11-04", "2018-02-17", "2025-03-30", "2025-10-26", "2025-04-06", "2025-10-05"])
texts = (
    shapes
    | shapes
    | spoiled
    | others
    | near_changes
    | st.builds("{} 0{}:30:00".format, near_changes, st.integers(0, 3))
)
full_width = st.lists(shapes.map(lambda text: text[:19]), min_size=1, max_size=8)


@pytest.mark.parametrize("patterns", SETTLED)
def test_a_column_reads_as_its_values(patterns: tuple[str, ...]) -> None:
    @settings(max_examples=examples(150), deadline=None)
    @given(
        column=full_width
        | st.lists(shapes, min_size=1, max_size=8)
        | st.lists(texts | st.none(), min_size=1, max_size=8),
        zone=st.sampled_from(ZONES),
        repeated=st.sampled_from(["reject", "earlier", "later"]),
    )
    def check(column: list[str | None], zone: str, repeated: str) -> None:
        settled = formats(patterns, zone, repeated)
        reader = MomentReader(settled)
        if all(text is None for text in column):
            return
        values, doubtful = PlainMoments(settled).read(reader.read, pl.Series(column, dtype=pl.String))
        rows = values.to_list()
        for position, text in enumerate(column):
            if text is not None and (doubtful is None or not doubtful[position]):
                assert rows[position] == exact(reader, text) is not None, text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "ALWAYS_FEW", 0)
        check()


@given(column=full_width)
@settings(max_examples=examples(200), deadline=None)
def test_iso_arithmetic_takes_exactly_what_the_pattern_takes(column: list[str]) -> None:
    """Not only sound but complete: an ordinary ISO column must not fall back to the slow way."""
    walls = read_iso(pl.Series(column))
    reader = MomentReader(formats((ISO,)))
    assert walls is not None
    assert walls.dt.replace_time_zone("UTC").to_list() == [exact(reader, text) for text in column]


def test_fractions_and_offsets_stay_on_the_fast_way() -> None:
    column = pl.Series(
        ["2025-01-01 00:00:00", "2025-01-01 00:00:00.5", "2025-01-01T00:00:00.000001+01:30", "2025-01-01 00:00:00Z"]
    )
    settled = formats((ISO,), "Europe/London")
    reader = MomentReader(settled)
    values, doubtful = PlainMoments(settled).read(lambda text: pytest.fail("read one by one"), column)
    assert doubtful is None
    assert values.to_list() == [exact(reader, text) for text in column]


def test_iso_arithmetic_works_on_slices() -> None:
    column = pl.Series(["x" * 40, "2024-01-01 00:00:00", "2025-12-31T23:59:59", "y"])[1:3]
    walls = read_iso(column)
    assert walls is not None
    assert walls.to_list() == [datetime(2024, 1, 1), datetime(2025, 12, 31, 23, 59, 59)]  # noqa: DTZ001


def test_iso_arithmetic_gives_way_to_a_pattern_of_the_same_shape() -> None:
    assert iso_is_alone((ISO, "%d/%m/%Y[time]"))
    assert not iso_is_alone(("%Y-%d-%m[time]", ISO))
    assert not iso_is_alone(("%d/%m/%Y[time]",))
