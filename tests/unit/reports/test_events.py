"""Which records of the topic are events of orders, and what is read of them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from reports.events import InvalidEventError, decode
from tests.integration.reports.records import Record, data, record


def test_an_event_is_read() -> None:
    lines = [
        {"line_no": 1, "sku": "Shoes", "quantity": 2, "unit_price": "39.9000"},
        {"line_no": 2, "sku": "Laces", "quantity": 1, "unit_price": None},
        {"line_no": 3, "sku": "Shoes", "quantity": -1, "unit_price": "10"},
    ]
    found = decode(record(data("o553", 3, lines=lines), offset=7, partition=2))
    assert (found.id, found.partition, found.offset) == ("o553:3", 2, 7)
    assert found.state.items == [("Laces", 1, 0), ("Shoes", 1, 698_000)]
    assert (found.state.day, found.state.cancelled) == ("2026-03-04", False)


@pytest.mark.parametrize(
    ("ordered_at", "day"),
    [
        (None, "2026-03-04"),
        ("2026-03-04T23:59:59.999999Z", "2026-03-04"),
        ("2026-03-05T00:30:00+01:00", "2026-03-04"),
        ("2026-03-04T23:30:00-01:00", "2026-03-05"),
    ],
)
def test_the_day_is_that_of_utc(ordered_at: str | None, day: str) -> None:
    assert decode(record(data(ordered_at=ordered_at))).state.day == day


def test_more_than_is_known_is_nobodys_mistake() -> None:
    assert decode(record({**data(), "gift": True}, ce_type="com.sluice.order.wrapped.v1")).state.version == 1


BAD_FIELDS: list[dict[str, Any]] = [
    {"order_id": ""},
    {"order_id": " o1"},
    {"order_id": "o" * 129},
    {"order_id": 1},
    {"order_id": "a\x00b"},
    {"order_id": "a\ud800b"},
    {"version": 0},
    {"version": True},
    {"version": "1"},
    {"version": 2**31},
    {"user_id": ""},
    {"user_id": 5},
    {"ordered_at": "2026-03-04T09:12:00"},
    {"ordered_at": "yesterday"},
    {"ordered_at": 5},
    {"ordered_at": "2026-02-30T09:12:00Z"},
    {"country": None},
    {"country": "x" * 65},
    {"country": "\x00"},
    {"country": "\udc00"},
    {"currency": "eur"},
    {"currency": "EURO"},
    {"currency": None},
    {"lines": None},
    {"lines": [5]},
    {"lines": {"sku": 1}},
    {"lines": [{"sku": "a", "quantity": 1}]},
    {"lines": [{"sku": "a", "quantity": 1.5, "unit_price": None}]},
    {"lines": [{"sku": "a", "quantity": 2**31, "unit_price": None}]},
    {"lines": [{"sku": "a", "quantity": 1, "unit_price": 1.5}]},
    {"lines": [{"sku": "a", "quantity": 1, "unit_price": "1.00001"}]},
    {"lines": [{"sku": "a", "quantity": 1, "unit_price": "NaN"}]},
    {"lines": [{"sku": "a", "quantity": 1, "unit_price": "1_0"}]},
    {"lines": [{"sku": "a", "quantity": 1, "unit_price": "1" * 15}]},
    {"lines": [{"sku": "a", "quantity": 1, "unit_price": "٣"}]},
]


@pytest.mark.parametrize("fields", BAD_FIELDS, ids=ascii)
def test_what_the_tables_could_not_hold_is_no_event(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidEventError):
        decode(record(data(**fields)))


@pytest.mark.parametrize("name", ["order_id", "version", "user_id", "status", "ordered_at", "country", "lines"])
def test_a_missing_field_is_named(name: str) -> None:
    content = data()
    del content[name]
    with pytest.raises(InvalidEventError, match=name):
        decode(record(content, ce_id="o1:1"))


@pytest.mark.parametrize(
    "headers",
    [
        {"ce_type": "com.sluice.order.placed.v2"},
        {"ce_type": "com.sluice.import.completed.v1"},
        {"ce_type": ""},
        {"ce_id": "o1:2"},
        {"ce_id": "o1"},
    ],
)
def test_headers_that_say_something_else(headers: dict[str, Any]) -> None:
    with pytest.raises(InvalidEventError):
        decode(record(data(), **headers))


BROKEN: list[Callable[[Record], Record]] = [
    lambda good: dataclasses.replace(good, value=None),
    lambda good: dataclasses.replace(good, value=b""),
    lambda good: dataclasses.replace(good, value=b"\xff\xfe"),
    lambda good: dataclasses.replace(good, value=b"[]"),
    lambda good: dataclasses.replace(good, value=b"null"),
    lambda good: dataclasses.replace(good, value=b"[" * 100_000),
    lambda good: dataclasses.replace(good, value=b'{"order_id": ' + b"1" * 5000 + b"}"),
    lambda good: dataclasses.replace(good, headers=[]),
    lambda good: dataclasses.replace(good, headers=[("ce_type", b"\xff")]),
    lambda good: dataclasses.replace(good, headers=[(name, None) for name, _ in good.headers]),
]


@pytest.mark.parametrize("broken", BROKEN, ids=range(len(BROKEN)))
def test_bytes_of_a_stranger(broken: Callable[[Record], Record]) -> None:
    with pytest.raises(InvalidEventError):
        decode(broken(record(data())))
