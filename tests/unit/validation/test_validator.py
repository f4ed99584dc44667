"""Continuation records, attributes, templates, damaged records, and the Online Retail file."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st

from ingestion.profiles import Profile, Settlement, load_profile, settle_header
from ingestion.validation import Carry, Validator
from tests.thorough import examples
from tests.unit.validation.batches import batch_of

RETAIL = Path(__file__).resolve().parents[4] / "shared" / "data" / "OnlineRetail.csv.gz"
HEADER = ["order_id", "user_id", "sku", "quantity", "country", "colour"]


def settled(**options: Any) -> Settlement:
    return settle_header(Profile.from_mapping({"name": "test", **options}, source="test"), HEADER, [])


CONTINUED = settled(rules={"continuation": True})


def test_continuation_records_inherit_blank_order_columns_only() -> None:
    rows = [
        ["o1", "u1", "s1", "1", "DE", "red"],
        ["", "", "s2", "2", "", ""],
        [" ", "u9", "s3", "3", "", ""],
        ["o2", "u2", "s4", "4", "", ""],
        ["", "", "s5", "5", "", ""],
    ]
    frame = Validator(CONTINUED).validate(batch_of(rows, width=6)).frame
    assert frame["order_id"].to_list() == ["o1", "o1", "o1", "o2", "o2"]
    assert frame["user_id"].to_list() == ["u1", "u1", "u9", "u2", "u2"]
    assert frame["country"].to_list() == ["DE", "DE", "DE", None, None]


def test_after_a_damaged_record_the_order_is_unknown_until_the_next_one() -> None:
    rows = [["o1", "u1", "s", "1", "", ""], ["", "", "s", "2", "", ""], ["", "", "s", "3", "", ""], ["o2", "u2", "s",
    "4", "", ""],
            ["", "", "s", "5", "", ""]]  # fmt: skip
    result = Validator(CONTINUED).validate(batch_of(rows, width=6, damaged=[2]))
    assert result.frame["quantity"].to_list() == [1, 2, 4, 5]
    assert [(error.ordinal, error.code) for error in result.errors] == [
        (2, "missing_columns"),
        (3, "continuation_unknown"),
    ]


def test_a_file_cannot_begin_with_a_continuation_record() -> None:
    result = Validator(CONTINUED).validate(batch_of([["", "u1", "s1", "1", "", ""]], width=6))
    assert [error.code for error in result.errors] == ["required"]


@settings(max_examples=examples(150), deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["head", "more", "own country", "damaged"]), max_size=14),
    cuts=st.sets(st.integers(0, 14), max_size=4),
)
def test_continuation_does_not_depend_on_where_chunks_end(kinds: list[str], cuts: set[int]) -> None:
    def rows_of(part: range) -> Any:
        rows = [
            [f"o{number}" if kinds[number] == "head" else "", "u1" if kinds[number] == "head" else "", "s",
            str(number + 1),
             f"C{number}" if kinds[number] == "own country" else "", ""]
            for number in part if kinds[number] != "damaged"
        ]  # fmt: skip
        return batch_of(rows, width=6, damaged=[at for at, number in enumerate(part) if kinds[number] == "damaged"])

    validator = Validator(CONTINUED)
    whole = validator.validate(rows_of(range(len(kinds))))
    bounds = sorted({0, len(kinds), *(cut for cut in cuts if cut < len(kinds))})
    carry, loaded, codes = None, [], []
    for start, end in pairwise(bounds):
        batch = rows_of(range(start, end))
        assert validator.carry_after(batch, carry=carry) == validator.validate(batch, carry=carry).carry
        part = validator.validate(batch, carry=carry)
        carry = Carry.from_dict(json.loads(json.dumps(part.carry.as_dict())))
        loaded += part.frame.drop("ordinal").rows()
        codes += [(error.ordinal + start, error.code) for error in part.errors]
    assert loaded == whole.frame.drop("ordinal").rows()
    assert codes == [(error.ordinal, error.code) for error in whole.errors]


@given(values=st.lists(st.tuples(st.text(), st.text()), max_size=5))
@settings(deadline=None)
def test_attributes_keep_unmapped_values_as_read(values: list[tuple[str, str]]) -> None:
    header = ["order_id", "user_id", "sku", "quantity", 'a "b"\\', ""]
    profile = Profile.from_mapping({"name": "test", "rules": {"unmapped": "attributes"}}, source="")
    validator = Validator(settle_header(profile, header, []))
    rows = [["o", "u", "s", "1", *pair] for pair in values]
    kept = validator.validate(batch_of(rows, width=6)).frame["attributes"].to_list()
    for pair, text in zip(values, kept, strict=True):
        named = zip(['a "b"\\', "column 6"], pair, strict=True)
        expected = {
            name: value
            for name, value in named
            if value.strip(" \t\n\v\f\r\x85\u00a0\u2028\u2029\u3000") and not _blank(value)
        }
        assert (json.loads(text) if text is not None else {}) == expected


def _blank(value: str) -> bool:
    return bool(pl.Series([value]).str.strip_chars()[0] == "")


def test_templates_need_all_of_their_columns() -> None:
    settlement = settled(templates={"order_id": "{order_id}-{country}"}, ids={"order_prefix": "x:"})
    rows = [["7", "u", "s", "1", " DE ", ""], ["7", "u", "s", "1", "", ""]]
    result = Validator(settlement).validate(batch_of(rows, width=6))
    assert result.frame["order_id"].to_list() == ["x:7-DE"]
    assert [(error.code, error.column_name) for error in result.errors] == [("required", "order_id")]


def test_an_empty_batch_has_the_same_columns() -> None:
    result = Validator(settled()).validate(batch_of([], width=6))
    assert result.frame.height == 0
    assert (
        result.frame.schema
        == Validator(settled()).validate(batch_of([["o", "u", "s", "1", "", ""]], width=6)).frame.schema
    )


@pytest.mark.slow  # tests/flows load it with these numbers
@pytest.mark.skipif(not RETAIL.exists(), reason="the Online Retail file is not here")
def test_online_retail() -> None:
    rows = list(csv.reader(io.StringIO(gzip.decompress(RETAIL.read_bytes()).decode("latin-1"), newline="")))
    header = rows.pop(0)
    batch = batch_of(rows, width=8)
    settlement = settle_header(load_profile("online-retail"), header, [batch.table.head(5000)])
    result = Validator(settlement).validate(batch)
    frame = result.frame
    assert (frame.height, len({error.ordinal for error in result.errors})) == (397_884, 144_025)
    counted = [frame[name].n_unique() for name in ("order_id", "user_id", "sku")]
    assert counted == [18_532, 4_338, 3_665]
    total = sum(
        (quantity * price for quantity, price in frame.select("quantity", "unit_price").iter_rows()), Decimal(0)
    )
    assert total == Decimal("8911407.904")
    codes = Counter((error.code, error.column_name) for error in result.errors)
    assert codes == {
        ("required", "CustomerID"): 135_080,
        ("out_of_range", "Quantity"): 10_624,
        ("out_of_range", "UnitPrice"): 2_517,
    }
