"""PATCH /orders/{id}, its conditions, and what becomes of lines."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from orders.drafts import Amendment
from orders.models import Item, Order, OrderLine
from orders.outbox.models import Entry
from orders.services import order_amend
from tests.integration.orders.people import People, placed
from tests.integration.orders.test_placing import invalid_fields, refused

LINES = [
    {"line_no": 1, "sku": "Shoes", "quantity": 2, "unit_price": "10"},
    {"line_no": 5, "sku": "Hats", "quantity": 1, "unit_price": None},
]


def amend(people: People, body: dict[str, Any], *, match: str | None = "*", who: str = "alice") -> Any:
    headers = {} if match is None else {"If-Match": match}
    return people[who].patch("/orders/o553", body, headers=headers)


def lines_of(response: Any) -> list[tuple[int, str, int, str | None]]:
    assert response.status_code == 200, response.content
    return [tuple(line.values()) for line in response.json()["lines"]]


@pytest.fixture
def order(people: People) -> Any:
    return placed(people, lines=LINES, country="DE", currency="EUR", attributes={"gift": True})


def test_header_changes_make_a_version_and_an_event(people: People, order: Any) -> None:
    response = amend(people, {"country": "AT", "attributes": {"gift": 1}}, match=order["ETag"])
    assert response.status_code == 200
    assert response["ETag"] == '"2"'
    body = response.json()
    assert (body["country"], body["currency"], body["attributes"], body["version"]) == ("AT", "EUR", {"gift": 1}, 2)
    assert body["updated_at"] > body["created_at"]
    assert people["alice"].get("/orders/o553").json() == body
    kinds = [(entry.type.split(".")[-2], entry.version) for entry in Entry.objects.order_by("pk")]
    assert kinds == [("placed", 1), ("amended", 2)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"country": "DE"},
        {"country": "de", "currency": "EUR"},
        {"attributes": {"gift": True}},
        {"lines": LINES},
        {"lines": LINES, "replace_lines": True},
        {"lines": [{"line_no": 5}]},
        {"lines": [{"line_no": 1, "item": "Shoes", "unit_price": 10.0000}]},
        {"remove_lines": []},
    ],
)
def test_what_changes_nothing_makes_no_version(people: People, order: Any, body: dict[str, Any]) -> None:
    response = amend(people, body)
    assert (response.status_code, response["ETag"]) == (200, '"1"')
    assert response.json() == order.json()
    assert Entry.objects.count() == 1


def test_lines_are_changed_added_and_kept(people: People, order: Any) -> None:
    people["alice"].post("/items", {"sku": "Laces", "list_price": "2.50"})
    response = amend(people, {"lines": [{"line_no": 1, "quantity": 3}, {"sku": "Laces", "quantity": 2}]})
    assert lines_of(response) == [(1, "Shoes", 3, "10.0000"), (5, "Hats", 1, None), (6, "Laces", 2, "2.5000")]


def test_another_item_brings_its_own_price(people: People, order: Any) -> None:
    people["alice"].post("/items", {"sku": "Laces", "list_price": "2.50"})
    lines = [{"line_no": 1, "sku": "Laces"}, {"line_no": 5, "sku": "Socks", "unit_price": "1"}]
    assert lines_of(amend(people, {"lines": lines})) == [(1, "Laces", 2, "2.5000"), (5, "Socks", 1, "1.0000")]
    assert lines_of(amend(people, {"lines": [{"line_no": 1, "unit_price": None}]}))[0] == (1, "Laces", 2, None)


def test_lines_are_removed_by_number_and_by_replacing(people: People, order: Any) -> None:
    assert lines_of(amend(people, {"remove_lines": [1]})) == [(5, "Hats", 1, None)]
    replaced = amend(people, {"lines": [{"sku": "A", "quantity": 1}], "replace_lines": True})
    assert lines_of(replaced) == [(1, "A", 1, None)]
    again = amend(people, {"lines": [{"sku": "A", "quantity": 1}], "replace_lines": True})
    assert again.json() == replaced.json()


def test_changed_lines_belong_to_no_import_any_more(people: People, order: Any) -> None:
    OrderLine.objects.filter(order="o553").update(import_id=7, record=3)
    amend(people, {"lines": [{"line_no": 1, "quantity": 9}]})
    assert list(OrderLine.objects.order_by("line_no").values_list("import_id", "record")) == [(None, None), (7, 3)]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"remove_lines": [1, 5]}, "order_without_lines"),
        ({"replace_lines": True}, "order_without_lines"),
        ({"remove_lines": [2]}, "unknown_line"),
        ({"remove_lines": [1], "lines": [{"line_no": 1, "quantity": 2}]}, "duplicate_line"),
        ({"lines": [{"line_no": 2}]}, "incomplete_line"),
        ({"lines": [{"quantity": 2}]}, "incomplete_line"),
        ({"lines": [{"line_no": 2**53 - 1, "sku": "a", "quantity": 1}, {"sku": "a", "quantity": 1}]}, "out_of_range"),
    ],
)
def test_refused_amendments_change_nothing(people: People, order: Any, body: dict[str, Any], code: str) -> None:
    refused(amend(people, {"country": "AT", **body}), 400, code)
    assert people["alice"].get("/orders/o553").json() == order.json()
    assert Entry.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"user_id": "charlie"}, "user_id", "immutable"),
        ({"id": "o554"}, "id", "immutable"),
        ({"status": "paid"}, "status", "immutable"),
        ({"version": 3}, "version", "immutable"),
        ({"import_id": 3}, "import_id", "unknown_field"),
        ({"lines": [{"sku": "a", "item": "a", "quantity": 1}]}, "lines.0.item", "exclusive"),
        ({"lines": [{"line_no": 1, "quantity": 0}]}, "lines.0.quantity", "min_value"),
        ({"replace_lines": "true"}, "replace_lines", "invalid"),
        ({"remove_lines": ["1"]}, "remove_lines.0", "invalid"),
    ],
)
def test_amendments_that_are_not_valid(people: People, order: Any, body: dict[str, Any], field: str, code: str) -> None:
    assert invalid_fields(amend(people, body)).get(field) == code


def test_conditions(people: People, order: Any) -> None:
    refused(amend(people, {"country": "AT"}, match=None), 428, "precondition_required")
    refused(amend(people, {"country": "AT"}, match='"2"'), 412, "precondition_failed")
    refused(amend(people, {"country": "AT"}, match='W/"1"'), 412, "precondition_failed")
    refused(amend(people, {"country": "AT"}, match="1"), 412, "precondition_failed")
    assert amend(people, {"country": "AT"}, match='"9", "1"').status_code == 200
    refused(amend(people, {"country": "CH"}, match='"1"'), 412, "precondition_failed")


def test_a_stale_condition_is_told_even_when_nothing_would_change(people: People, order: Any) -> None:
    refused(amend(people, {}, match='"7"'), 412, "precondition_failed")


def test_retired_items_stay_where_they_are(people: People, order: Any) -> None:
    people["alice"].post("/items/Shoes/retire")
    assert lines_of(amend(people, {"lines": [{"line_no": 1, "sku": "Shoes", "quantity": 1}]}))[0][2] == 1
    refused(amend(people, {"lines": [{"sku": "Shoes", "quantity": 1}]}), 409, "item_retired")
    refused(amend(people, {"lines": [{"line_no": 5, "sku": "Shoes"}]}), 409, "item_retired")


def test_only_placed_and_paid_orders_are_amended(people: People, order: Any) -> None:
    people["alice"].post("/orders/o553/status", {"status": "paid"})
    assert amend(people, {"country": "AT"}).status_code == 200
    people["alice"].post("/orders/o553/status", {"status": "shipped"})
    refused(amend(people, {"country": "CH"}), 409, "order_not_amendable")


def test_no_such_order(people: People) -> None:
    refused(amend(people, {"country": "AT"}), 404, "not_found")


def test_who_may_amend(people: People, order: Any) -> None:
    refused(amend(people, {"country": "AT"}, who="charlie"), 403, "permission_denied")
    assert amend(people, {"country": "AT"}, who="bob").status_code == 200
    refused(amend(people, {"country": "FR"}, who="bob"), 403, "outside_region")
    amend(people, {"country": "FR"})
    refused(amend(people, {"country": "DE"}, who="bob"), 404, "not_found")


def test_lines_of_imports_with_large_numbers(people: People, order: Any) -> None:
    item = Item.objects.get(sku="Hats")
    OrderLine.objects.create(order_id="o553", line_no=5_000_000_000, item=item, quantity=-2, unit_price=Decimal("-1"))
    response = amend(people, {"lines": [{"line_no": 5_000_000_000, "sku": "Shoes"}, {"sku": "A", "quantity": 1}]})
    assert [line[0] for line in lines_of(response)] == [1, 5, 5_000_000_000, 5_000_000_001]
    assert lines_of(response)[2][2] == -2


def test_services_own_the_version(people: People, order: Any) -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    changed = order_amend(order_id="o553", amendment=Amendment(header={"ordered_at": now}), now=now, source="admin")
    stored = Order.objects.get(pk="o553")
    assert (changed.version, stored.version, stored.ordered_at, stored.updated_at) == (2, 2, now, now)
    assert Entry.objects.latest("pk").source == "admin"
