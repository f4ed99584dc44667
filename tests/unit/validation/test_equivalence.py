"""The vectorised validator and the exact one give the same rows and the same errors, whatever the values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from ingestion.profiles import Profile, Settlement, settle_header
from ingestion.validation import SCHEMA, Validator, distinct
from tests.thorough import examples
from tests.unit.validation.batches import batch_of

HEADER = (
    "order_id", "user_id", "sku", "quantity", "line_no", "item_name", "unit_price", "currency", "ordered_at", "status",
    "country", "user_name", "user_email", "user_age", "user_country", "roles", "colour", "size",
)  # fmt: skip

PROFILES: list[dict[str, Any]] = [
    {},
    {"formats": {"day_first": True, "decimal_separator": ",", "thousands_separators": [".", " "]},
     "rules": {"guests": "allow", "returns": "allow", "negative_prices": "allow", "unmapped": "attributes"}},
    {"formats": {"day_first": False, "time_zone": "Europe/London", "currency_signs": ["€", "$"],
                 "decimal_separator": ".", "thousands_separators": [","]},
     "ids": {"order_prefix": "uk-", "item_prefix": "é", "allow_scientific": True},
     "rules": {"zero_prices": "reject", "price_required": True},
     "defaults": {"currency": "gbp", "status": "paid", "country": "gb", "quantity": 3}},
    {"formats": {"time_zone": "America/New_York", "repeated_time": "later", "date_formats": ["%d.%m.%y %H:%M"]},
     "templates": {"order_id": "{order_id}/{size}-{colour}", "user_id": "{user_id}"}},
    {"formats": {"time_zone": "America/Sao_Paulo", "repeated_time": "earlier"},
     "rules": {"continuation": True, "unmapped": "attributes"}},
]  # fmt: skip
SAMPLES: list[list[str]] = [[], ["31/12/2024"], ["3/4/2025"], ["20250131", "2025/01/31"], ["3/4/25 1:02 PM"]]

edges = st.sampled_from(["", "", "", "", " ", "\u00a0", "\t", "\u3000", "\x85", "\n", "\ufeff", "\x1f"])
odd = st.text(max_size=12) | st.sampled_from(
    ["", "", " ", "\u00a0", "\x00", "NaN", "inf", "null", "-", "+", ".", ",", "x"]
)


def padded(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda left, value, right: left + value + right, edges, values, edges)


def mixed(*kinds: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Mostly plain values, so that many records are valid; some strange ones."""
    return st.one_of(*kinds, *kinds, *kinds, padded(st.one_of(*kinds)), odd)


digits = st.integers(0, 10**20).map(str) | st.integers(1, 99).map(str)
ids = mixed(
    st.integers(1, 5).map(lambda number: f"o{number:03}"),
    st.sampled_from(["007", "1.23E+15", "9e+99", "1E+5", "A+B", "1E+05", "é" * 64, "é" * 65, "x" * 128, "x" * 129]),
)
whole = mixed(st.integers(1, 9).map(str), digits, st.sampled_from(
    ["0", "-0", "+5", "-3", "007", "2.0", "1e3", "1_0", "1,000", "1.000", "1 000", "2147483647", "2147483648",
    "-2147483648",
     "999999999", "\u0661", "149", "150", "151", "99", "100"]))  # fmt: skip
prices = mixed(
    st.decimals(0, 99_999, places=2).map(str),
    st.decimals(-5, 10**15, places=5).map(str),
    st.from_regex(r"[0-9]{1,4}[.,][0-9]{1,6}", fullmatch=True),
    st.sampled_from(
        ["0", "0.00", "-0", "1e3", ".5", "5.", ",5", "1,234", "1.234", "1,234.50", "1.234,50", "1 234,5", "12,34",
        "€5", "5 €",
         "$1,000.10", "-$3", "$-3", "99999999999999.9999", "100000000000000", "1.50000", "1.00001", "+1.5", "0.125",
         "1.2345"]
    ),
)  # fmt: skip
naive = st.datetimes().map(lambda moment: moment.replace(microsecond=0)) | st.sampled_from(
    [__import__("datetime").datetime(2025, month, day, hour, 30) for month, day in ((3, 30), (10, 26), (3, 9), (11, 2))
     for hour in (0, 1, 2, 3)])  # fmt: skip
SHAPES = [
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%d/%m/%Y %H:%M",
    "%m/%d/%Y", "%d.%m.%y %H:%M", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f+02:00", "%Y-%m-%d %H:%M:%S-0530",
    "%m/%d/%Y %I:%M %p", "%Y%m%d", "%Y/%m/%d %H:%M:%S", "%Y-%m-%d  %H:%M", "%Y-%m-%d %H:%M:%S.%f123",
    "%Y-%m-%dX%H:%M:%S",
]  # fmt: skip
dates = mixed(
    st.builds(lambda moment, shape: moment.strftime(shape), naive, st.sampled_from(SHAPES)),
    st.sampled_from(
        ["2025-02-29", "2024-02-29 00:00:00", "2025-01-31 24:00:00", "2025-01-31 23:59:60", "0000-01-01 00:00:00",
        "3/4/2025",
         "13/4/2025", "4/4/2025", "2018-11-04", "2025-01-31 1:02:03", "2025-13-01 00:00:00", "2025-01-31 10:00:00 PM",
         "2025-01-31 10:00:00+25:00", "2025-01-31 10:00:00.5", "1899-12-31 00:00:00", "2025-01-31T10:00:00"]
    ),
)  # fmt: skip
names = mixed(st.sampled_from(["Lamp", '5" pipe', "Łódź", "x" * 255, "é" * 200, "x" * 256, "two\nlines", "=1+1"]))
emails = mixed(
    st.emails(),
    st.sampled_from(["a@example.com", "A@Example.COM", "a..b@example.com", "a@b", "ü@exämple.de", "a@-b.com",
    "a@b_c.com",
                     "a@1.2.3.4", "x" * 64 + "@e.com", "x" * 65 + "@e.com", "a@" + "l" * 63 + ".de",
                     "a@" + "l" * 64 + ".de",
                     "a@b.c", "a b@c.de", ".a@b.de", "a@b.de.", "İ@b.de", "K@b.de"]),
)  # fmt: skip
countries = mixed(st.sampled_from(["DE", "de", "Germany", "É1", "ß", "ßß", "x" * 64, "x" * 65]))
kinds = {
    "order_id": ids, "user_id": ids, "sku": ids, "quantity": whole, "line_no": whole, "item_name": names,
    "unit_price": prices, "currency": mixed(st.sampled_from(["EUR", "eur", "EU", "ÄÖÜ", "EURO"])), "ordered_at": dates,
    "status": mixed(st.sampled_from(["placed", "Paid", "gone", "CANCELLED"])), "country": countries, "user_name": names,
    "user_email": emails, "user_age": whole, "user_country": countries, "roles": mixed(st.just("admin")),
    "colour": mixed(st.sampled_from(['a"b', "a\\b", "red", "line\nbreak", "\u2028", "\x7f", "😀"])),
    "size": mixed(st.just("L")),
}  # fmt: skip
records = st.tuples(*(kinds[name] for name in HEADER))
plain = ("o1", "u1", "s1", "2", "1", "Lamp", "1.50", "EUR", "2025-01-31 10:00:00", "placed", "DE", "Ann", "a@e.com",
"3", "FR", "", "", "L")  # fmt: skip
sound = tuple("7" if name == "unit_price" else value for name, value in zip(HEADER, plain, strict=True))
one_odd = st.builds(
    lambda index, record: tuple(record[at] if at == index else value for at, value in enumerate(plain)),
    st.integers(0, len(HEADER) - 1),
    records,
)


def settlement_of(options: dict[str, Any], samples: list[str]) -> Settlement:
    profile = Profile.from_mapping({"name": "test", **options}, source="test")
    position = HEADER.index("ordered_at")
    rows = [[sample if at == position else "" for at in range(len(HEADER))] for sample in samples]
    return settle_header(profile, HEADER, [batch_of(rows, width=len(HEADER)).table])


@pytest.mark.parametrize("few", [0, 64])
@pytest.mark.parametrize("options", PROFILES)
def test_both_validators_agree(options: dict[str, Any], few: int) -> None:
    @settings(max_examples=examples(60), deadline=None)
    @given(
        rows=st.lists(one_odd | one_odd | records, max_size=30),
        samples=st.sampled_from(SAMPLES),
        damaged=st.sets(st.integers(0, 30), max_size=2),
    )
    def check(rows: list[tuple[str, ...]], samples: list[str], damaged: set[int]) -> None:
        settlement = settlement_of(options, samples)
        lost = sorted(number for number in damaged if number < len(rows))
        batch = batch_of(rows, width=len(HEADER), damaged=lost)
        fast, exact = Validator(settlement).validate(batch), Validator(settlement, vectorised=False).validate(batch)
        assert fast.errors == exact.errors
        assert fast.frame.to_dicts() == exact.frame.to_dicts()
        assert dict(fast.frame.schema) == SCHEMA
        assert fast.carry == exact.carry
        rejected = {error.ordinal for error in fast.errors}
        assert fast.frame.height + len(rejected) == batch.records
        assert rejected.isdisjoint(fast.frame["ordinal"].to_list())
        assert fast.frame["ordinal"].is_sorted()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "ALWAYS_FEW", few)
        check()


@pytest.mark.parametrize("field", HEADER)
def test_both_validators_agree_about_each_field(field: str) -> None:
    """As above, with nothing else wrong in a record that could send it to the exact validator."""
    at = HEADER.index(field)

    @settings(max_examples=examples(60), deadline=None)
    @given(
        values=st.lists(kinds[field], min_size=15, max_size=30),
        options=st.sampled_from(PROFILES[:3]),
        samples=st.sampled_from(SAMPLES),
    )
    def check(values: list[str], options: dict[str, Any], samples: list[str]) -> None:
        settlement = settlement_of(options, samples)
        rows = [tuple(value if index == at else other for index, other in enumerate(sound)) for value in values]
        batch = batch_of(rows, width=len(HEADER))
        fast, exact = Validator(settlement).validate(batch), Validator(settlement, vectorised=False).validate(batch)
        assert fast.errors == exact.errors
        assert fast.frame.to_dicts() == exact.frame.to_dicts()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "ALWAYS_FEW", 0)
        check()
