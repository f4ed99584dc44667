"""Settling: columns by name, formats by evidence, and clear words where neither is enough."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st

from ingestion.profiles import FIELDS, Profile, Settlement, SettlementError, load_profile, settle_header
from tests.thorough import examples

OWN = ["order_id", "user_id", "sku", "quantity"]


def profile(**options: Any) -> Profile:
    return Profile.from_mapping({"name": "test", **options}, source="test")


def settled(header: Sequence[str], **options: Any) -> Settlement:
    return settle_header(profile(**options), header, [])


def refused(header: Sequence[str], **options: Any) -> str:
    with pytest.raises(SettlementError) as caught:
        settled(header, **options)
    assert caught.value.header == tuple(header)
    return str(caught.value)


def with_values(field: str, values: Sequence[str], **options: Any) -> Settlement:
    table = pl.DataFrame({f"c{index}": ["1"] * len(values) for index in range(4)}).with_columns(pl.Series("c4", values))
    return settle_header(profile(**options), [*OWN, field], [table])


def test_our_own_header_needs_nothing() -> None:
    settlement = settle_header(load_profile(), list(FIELDS), [])
    assert settlement.columns == {name: index for index, name in enumerate(FIELDS)}
    assert (settlement.unmapped, settlement.warnings) == ((), ())


def test_common_names_are_understood_and_told() -> None:
    header = [
        "InvoiceNo",
        "StockCode",
        "Description",
        "Quantity",
        "InvoiceDate",
        "UnitPrice",
        "CustomerID",
        "Country",
        "Colour",
    ]
    settlement = settled(header)
    assert settlement.columns == {"order_id": 0, "sku": 1, "item_name": 2, "quantity": 3, "ordered_at": 4,
    "unit_price": 5,
                                  "user_id": 6, "country": 7}  # fmt: skip
    assert settlement.unmapped == (8,)
    assert 'Column "InvoiceNo" is taken as order_id.' in settlement.evidence


def test_missing_columns_come_with_the_option_that_names_them() -> None:
    text = refused(["order_idd", "user_id", "artikel", "quantity"])
    assert "order_idd, user_id, artikel, quantity" in text
    assert "--map order_id=order_idd" in text
    assert "--map sku=" in text


def test_a_clear_name_beats_a_vague_one_and_equals_are_refused() -> None:
    assert settled([*OWN, "Date", "Order Date"]).columns["ordered_at"] == 5
    assert settled(["Order Number", *OWN]).columns["order_id"] == 1
    text = refused(["Invoice No", "Order Number", *OWN[1:]])
    assert '--map order_id="Invoice No" or --map order_id="Order Number"' in text
    assert "--map order_id=#1 or" in refused(["Invoice", "Invoice", *OWN[1:]]).replace('"#1"', "#1")


def test_mapping_by_name_by_case_and_by_number() -> None:
    header = ["a", "A", "b b", "c", "d"]
    mapping = {"order_id": "A", "user_id": "B_B", "sku": "#4", "quantity": ["nothing", "d"], "status": ["nothing"]}
    assert settled(header, mapping=mapping).columns == {"order_id": 1, "user_id": 2, "sku": 3, "quantity": 4}


def test_mapping_to_what_is_not_there() -> None:
    text = refused([*OWN, "Invoice Date"], mapping={"ordered_at": "InvoiceDat", "sku": "#9"})
    assert 'mapping.ordered_at: there is no column "InvoiceDat" (did you mean "Invoice Date"?)' in text
    assert 'mapping.sku: there is no column "#9"' in text


def test_fields_can_be_left_out() -> None:
    assert "country" not in settled([*OWN, "country"], mapping={"country": False}).columns
    assert (
        "country"
        not in settled(
            [*OWN, "Ship Country"], rules={"synonyms": False}, mapping=dict(zip(OWN, OWN, strict=True))
        ).columns
    )


def test_guests_need_no_user_column_and_required_prices_need_one() -> None:
    assert "user_id" not in settled(["order_id", "sku", "quantity"], rules={"guests": "allow"}).columns
    assert "no column gives the customer's key" in refused(["order_id", "sku", "quantity"])
    assert "unit_price" in refused(OWN, rules={"price_required": True})
    assert settled(["order_id", "user_id", "sku"], defaults={"quantity": 1}).defaults == {"quantity": "1"}


def test_templates_use_columns_that_still_fill_their_own_field() -> None:
    settlement = settled(["No", "Country", *OWN[1:]], templates={"order_id": "{No}/{Country}"})
    assert settlement.templates == {"order_id": (0, "/", 1)}
    assert settlement.columns["country"] == 1
    assert 'there is no column "Nr"' in refused(OWN, templates={"order_id": "{Nr}"})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2025-01-31 10:00:00"], ["%Y-%m-%d[time]"]),
        (["3/4/2025", "13/4/2025"], ["%Y-%m-%d[time]", "%d/%m/%Y[time]"]),
        (["3/4/2025 8:26", "12/31/2010 8:26"], ["%Y-%m-%d[time]", "%m/%d/%Y[time]"]),
        (["31.12.2024", "1.2.2025 8:00"], ["%Y-%m-%d[time]", "%d.%m.%Y[time]"]),
        (["3/4/2025"], ["%Y-%m-%d[time]", "%d/%m/%Y[time]", "%m/%d/%Y[time]"]),
        (["13/4/2025", "4/13/2025"], ["%Y-%m-%d[time]", "%d/%m/%Y[time]", "%m/%d/%Y[time]"]),
        (["20250131", "2025/01/31"], ["%Y-%m-%d[time]", "%Y/%m/%d[time]", "%Y%m%d[time]"]),
        (["12/31/24 1:05 PM"], ["%Y-%m-%d[time]", "%m/%d/%y[time]"]),
        ([""], ["%Y-%m-%d[time]"]),
    ],
)
def test_dates_are_settled_by_evidence(values: list[str], expected: list[str]) -> None:
    settlement = with_values("ordered_at", values)
    assert list(settlement.formats.date_formats) == expected
    undecided = len(expected) == 3 and expected[1].startswith("%d")
    assert any("day_first" in warning for warning in settlement.warnings) == undecided


def test_the_profile_decides_dates_against_the_evidence() -> None:
    settlement = with_values("ordered_at", ["13/4/2025"], formats={"day_first": False})
    assert settlement.formats.date_formats == ("%Y-%m-%d[time]", "%m/%d/%Y[time]")
    assert any("cannot be read" in warning for warning in settlement.warnings)
    given = with_values("ordered_at", ["3/4/2025"], formats={"date_formats": ["%d/%m/%Y"]})
    assert given.formats.date_formats == ("%d/%m/%Y",)


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (["1.50", "2"], {}, [(".", "")]),
        (["1.50", "1,234"], {}, [(".", ",")]),
        (["1.234,50"], {}, [(",", ".")]),
        (["0.125"], {}, [(".", "")]),
        (["1 234,5"], {}, [(",", " ")]),
        (["1,234"], {}, [(".", ","), (",", ".")]),
        (["7"], {}, [(".", ","), (",", ".")]),
        (["1.50", "2,5"], {}, [(".", ","), (",", ".")]),
        (["1,234"], {"decimal_separator": ","}, [(",", "")]),
        (["1,234"], {"decimal_separator": "."}, [(".", ",")]),
        (["1,234"], {"thousands_separators": [","]}, [(".", ",")]),
        (["1.5"], {"thousands_separators": []}, [(".", "")]),
        (["€1.50", "€2"], {}, [(".", "")]),
    ],
)
def test_numbers_are_settled_by_evidence(
    values: list[str], options: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    settlement = with_values("unit_price", values, formats=options)
    assert [(style.decimal, style.thousands) for style in settlement.formats.numbers] == expected
    unclear = len(expected) == 2 and values != ["7"]
    assert any("decimal_separator" in warning for warning in settlement.warnings) == unclear


def test_currency_signs_are_dropped_only_when_they_agree() -> None:
    assert with_values("unit_price", ["US$5", "US$ 7.20"]).formats.currency_signs == ("US$",)
    mixed = with_values("unit_price", ["$5.00", "€7.20"])
    assert mixed.formats.currency_signs == ()
    assert any("different currency signs" in warning for warning in mixed.warnings)


def test_duplicate_and_blank_names_give_different_attribute_keys() -> None:
    settlement = settled([*OWN, "x", "x", ""], rules={"unmapped": "attributes"})
    assert settlement.attributes == {4: "x", 5: "x (2)", 6: "column 7"}


@settings(max_examples=examples(100), deadline=None)
@given(header=st.lists(st.text(max_size=8) | st.sampled_from([*FIELDS, "Invoice", "Date", "#1"]), max_size=12),
       values=st.lists(st.text(max_size=10) | st.sampled_from(["3/4/25", "1,5", "€5"]), max_size=4))  # fmt: skip
def test_any_file_is_settled_or_refused_with_reasons(header: list[str], values: list[str]) -> None:
    tables = [
        pl.DataFrame(
            {f"c{index}": values for index in range(len(header))},
            schema_overrides={f"c{index}": pl.String for index in range(len(header))},
        )
    ]
    try:
        settlement = settle_header(profile(rules={"unmapped": "attributes"}), header, tables)
    except SettlementError as error:
        if not error.problems:
            pytest.fail("refused without a reason")
        return
    stored = json.loads(json.dumps(settlement.as_dict()))
    assert Settlement.from_dict(stored) == settlement
    assert Settlement.from_dict(stored).canonical_json() == settlement.canonical_json()
    assert sorted([*settlement.columns.values(), *settlement.unmapped]) == list(range(len(header)))


def test_explanations_do_not_change_the_meaning() -> None:
    one = with_values("unit_price", ["1.50"])
    two = with_values("unit_price", ["2.75", "2.25"])
    assert one.evidence != two.evidence
    assert one.canonical_json() == two.canonical_json()
