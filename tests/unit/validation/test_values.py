"""What single values mean: the table that the exact validator has to keep to."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.profiles import Profile, settle_header
from ingestion.validation import CODES, Validator
from tests.unit.validation.batches import batch_of

HEADER = ["order_id", "user_id", "sku", "quantity", "unit_price", "ordered_at", "item_name", "user_email", "currency",
          "status", "country", "user_age", "line_no"]  # fmt: skip
GOOD = ["o1", "u1", "s1", "2", "7", "2025-01-31 10:00", "Lamp", "a@example.com", "EUR", "paid", "DE", "30", "1"]
SAMPLE = [*GOOD[:4], "1.50", *GOOD[5:]]  # settles the decimal separator where the profile does not
DECIMAL_COMMA = {"formats": {"decimal_separator": ",", "thousands_separators": ["."]}}
GROUPED = {"formats": {"decimal_separator": ".", "thousands_separators": [","], "currency_signs": ["€"]}}
LONDON: dict[str, Any] = {"formats": {"time_zone": "Europe/London"}}


def outcome(field: str, value: str, options: dict[str, Any]) -> str:
    """The typed value as text, or the codes of the errors."""
    profile = Profile.from_mapping({"name": "test", **options}, source="test")
    settlement = settle_header(profile, HEADER, [batch_of([SAMPLE], width=len(HEADER)).table])
    row = [value if name == field else good for name, good in zip(HEADER, GOOD, strict=True)]
    result = Validator(settlement).validate(batch_of([row], width=len(HEADER)))
    for error in result.errors:
        assert error.code in CODES
        assert (error.column_name, error.column) == (field, HEADER.index(field) + 1)
        assert error.message
    return " ".join(error.code for error in result.errors) or str(result.frame[field][0])


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("order_id", "007", "007"),
        ("order_id", " \u00a07 ", "7"),
        ("order_id", "", "required"),
        ("order_id", "\u00a0 ", "required"),
        ("order_id", "1.23E+15", "mangled_identifier"),
        ("order_id", "12E10", "12E10"),
        ("order_id", "a\tb", "control_character"),
        ("sku", "\ufeffa", "control_character"),
        ("sku", "x" * 128, "x" * 128),
        ("sku", "é" * 128, "é" * 128),
        ("sku", "x" * 129, "too_long"),
        ("sku", "x" * 130 + "\n!", "too_long"),
        ("user_id", "", "required"),
        ("quantity", "+5", "5"),
        ("quantity", "007", "7"),
        ("quantity", "2.0", "invalid_integer"),
        ("quantity", "1e3", "invalid_integer"),
        ("quantity", "\u0661", "invalid_integer"),
        ("quantity", "1_000", "invalid_integer"),
        ("quantity", "0", "out_of_range"),
        ("quantity", "-1", "out_of_range"),
        ("quantity", "2147483647", "2147483647"),
        ("quantity", "2147483648", "out_of_range"),
        ("quantity", "9" * 5000, "invalid_integer"),
        ("unit_price", "", "None"),
        ("unit_price", "0", "0.0000"),
        ("unit_price", "-0", "0.0000"),
        ("unit_price", ".5", "0.5000"),
        ("unit_price", "5.", "5.0000"),
        ("unit_price", "1.2345", "1.2345"),
        ("unit_price", "1.23450000", "1.2345"),
        ("unit_price", "1.23456", "too_precise"),
        ("unit_price", "1e3", "invalid_decimal"),
        ("unit_price", "NaN", "invalid_decimal"),
        ("unit_price", "1,50", "invalid_decimal"),
        ("unit_price", "1,000", "invalid_decimal"),
        ("unit_price", "99999999999999.9999", "99999999999999.9999"),
        ("unit_price", "100000000000000", "out_of_range"),
        ("unit_price", "-1", "out_of_range"),
        ("ordered_at", "2025-01-31T10:00:00.5+02:00", "2025-01-31 08:00:00.500000+00:00"),
        ("ordered_at", "2025-01-31", "2025-01-31 00:00:00+00:00"),
        ("ordered_at", "2025-02-29", "invalid_datetime"),
        ("ordered_at", "2025-01-31 24:00", "invalid_datetime"),
        ("ordered_at", "2025-01-31 23:59:60", "invalid_datetime"),
        ("ordered_at", "2025-01-31 10:00:00.1234567", "too_precise"),
        ("ordered_at", "1899-12-31", "out_of_range"),
        ("ordered_at", "31/1/2025", "invalid_datetime"),
        ("item_name", " two  words ", "two  words"),
        ("item_name", "a\nb", "a\nb"),  # a quoted field may have lines
        ("item_name", "a\x07b", "control_character"),
        ("item_name", "x" * 256, "too_long"),
        ("user_email", "Ann.Lee@Example.COM", "ann.lee@example.com"),
        ("user_email", "ü@exämple.de", "ü@exämple.de"),
        ("user_email", "a@b", "invalid_email"),
        ("user_email", "a..b@example.com", "invalid_email"),
        ("user_email", "a b@example.com", "invalid_email"),
        ("user_email", "a@-b.com", "invalid_email"),
        ("user_email", "x" * 65 + "@example.com", "invalid_email"),
        ("user_email", "a@" + "b" * 250 + ".de", "too_long"),
        ("currency", "eur", "EUR"),
        ("currency", "EU", "invalid_choice"),
        ("currency", "€", "invalid_choice"),
        ("status", "Shipped", "shipped"),
        ("status", "lost", "invalid_choice"),
        ("country", "de", "DE"),
        ("country", "Germany", "Germany"),
        ("country", "x" * 65, "too_long"),
        ("user_age", "150", "150"),
        ("user_age", "151", "out_of_range"),
        ("user_age", "40000", "out_of_range"),
        ("line_no", "0", "out_of_range"),
    ],
)
def test_values(field: str, value: str, expected: str) -> None:
    assert outcome(field, value, {}) == expected


@pytest.mark.parametrize(
    ("options", "field", "value", "expected"),
    [
        (DECIMAL_COMMA, "unit_price", "1.234,5", "1234.5000"),
        (DECIMAL_COMMA, "unit_price", "1.234", "1234.0000"),
        (DECIMAL_COMMA, "unit_price", "1,50", "1.5000"),
        (DECIMAL_COMMA, "unit_price", "1.50", "invalid_decimal"),
        (DECIMAL_COMMA, "quantity", "1.234", "1234"),
        (GROUPED, "unit_price", "€ 1,234.50", "1234.5000"),
        (GROUPED, "unit_price", "1,234.50€", "1234.5000"),
        (GROUPED, "unit_price", "$5", "invalid_decimal"),
        (GROUPED, "unit_price", "12,34", "invalid_decimal"),
        (GROUPED, "quantity", "1,000", "1000"),
        (GROUPED, "quantity", "1,000.0", "invalid_integer"),
        ({"rules": {"returns": "allow"}}, "quantity", "-1", "-1"),
        ({"rules": {"returns": "allow"}}, "quantity", "0", "out_of_range"),
        ({"rules": {"negative_prices": "allow"}}, "unit_price", "-1.5", "-1.5000"),
        ({"rules": {"zero_prices": "reject"}}, "unit_price", "0.000", "out_of_range"),
        ({"rules": {"price_required": True}}, "unit_price", " ", "required"),
        ({"rules": {"guests": "allow"}}, "user_id", " ", "None"),
        ({"ids": {"allow_scientific": True}}, "sku", "1.23E+15", "1.23E+15"),
        ({"ids": {"order_prefix": "uk-"}}, "order_id", "7", "uk-7"),
        ({"ids": {"order_prefix": "uk-"}}, "order_id", "", "required"),
        ({"ids": {"item_prefix": "uk-"}}, "sku", "x" * 126, "too_long"),
        ({"defaults": {"currency": "gbp"}}, "currency", " ", "GBP"),
        ({"templates": {"order_id": "{sku}-{order_id}"}}, "sku", "s/2", "s/2"),
        ({"formats": {"day_first": True}}, "ordered_at", "3/4/2025", "2025-04-03 00:00:00+00:00"),
        ({"formats": {"day_first": False}}, "ordered_at", "3/4/2025", "2025-03-04 00:00:00+00:00"),
        ({"formats": {"date_formats": ["%d/%m/%Y", "%m/%d/%Y"]}}, "ordered_at", "3/4/2025", "ambiguous_datetime"),
        ({"formats": {"date_formats": ["%d/%m/%Y", "%m/%d/%Y"]}}, "ordered_at", "4/4/2025",
        "2025-04-04 00:00:00+00:00"),
        ({"formats": {"date_formats": ["%d.%m.%y %I:%M %p"]}}, "ordered_at", "3.4.69 12:05 am",
        "1969-04-03 00:05:00+00:00"),
        # Clocks in London go forward at 01:00 on 30 March 2025 and back at 02:00 on 26 October 2025.
        (LONDON, "ordered_at", "2025-07-01 10:00", "2025-07-01 09:00:00+00:00"),
        (LONDON, "ordered_at", "2025-03-30 01:30", "invalid_datetime"),
        (LONDON, "ordered_at", "2025-10-26 01:30", "ambiguous_datetime"),
        (LONDON, "ordered_at", "2025-10-26 01:30+01:00", "2025-10-26 00:30:00+00:00"),
        ({"formats": LONDON["formats"] | {"repeated_time": "earlier"}}, "ordered_at", "2025-10-26 01:30",
         "2025-10-26 00:30:00+00:00"),
        ({"formats": LONDON["formats"] | {"repeated_time": "later"}}, "ordered_at", "2025-10-26 01:30",
         "2025-10-26 01:30:00+00:00"),
        # In Brazil clocks went forward at midnight: the day 2018-11-04 began at 01:00.
        ({"formats": {"time_zone": "America/Sao_Paulo"}}, "ordered_at", "2018-11-04", "2018-11-04 03:00:00+00:00"),
    ],
)  # fmt: skip
def test_values_under_profiles(options: dict[str, Any], field: str, value: str, expected: str) -> None:
    assert outcome(field, value, options) == expected


def test_every_error_of_a_record_is_reported_in_column_order() -> None:
    settlement = settle_header(Profile.from_mapping({"name": "test"}, source=""), HEADER, [])
    row = ["", "u1", "s1", "x", "1.23456", "soon", "Lamp", "nobody", "EUR", "paid", "DE", "30", "1"]
    errors = Validator(settlement).validate(batch_of([GOOD, row], width=len(HEADER))).errors
    assert [(error.ordinal, error.column, error.code, error.value) for error in errors] == [
        (1, 1, "required", ""),
        (1, 4, "invalid_integer", "x"),
        (1, 5, "too_precise", "1.23456"),
        (1, 6, "invalid_datetime", "soon"),
        (1, 8, "invalid_email", "nobody"),
    ]


def test_long_values_are_shown_shortened() -> None:
    settlement = settle_header(Profile.from_mapping({"name": "test"}, source=""), HEADER, [])
    row = ["x" * 5000, *GOOD[1:]]
    (error,) = Validator(settlement).validate(batch_of([row], width=len(HEADER))).errors
    assert error.value == "x" * 199 + "…"


def test_an_undecided_decimal_separator_takes_only_what_reads_one_way() -> None:
    samples = [[*GOOD[:4], "1,234", *GOOD[5:]]]
    settlement = settle_header(
        Profile.from_mapping({"name": "test"}, source=""), HEADER, [batch_of(samples, width=len(HEADER)).table]
    )
    rows = [[*GOOD[:4], price, *GOOD[5:]] for price in ("1,234", "1.234", "1.50", "2,5", "1.234,5", "7", "0.125")]
    result = Validator(settlement).validate(batch_of(rows, width=len(HEADER)))
    assert [(error.ordinal, error.code) for error in result.errors] == [(0, "invalid_decimal"), (1, "invalid_decimal")]
    assert [str(price) for price in result.frame["unit_price"]] == ["1.5000", "2.5000", "1234.5000", "7.0000", "0.1250"]
    assert "decimal_separator" in result.errors[0].message
