"""POST /orders."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from orders.models import Item, Order, OrderLine
from orders.outbox.models import Entry
from tests.integration.orders.people import People, placed

SHORT = {"id": "o553", "item": "Shoes", "quantity": 2, "user_id": "carol"}


def refused(response: Any, status: int, code: str) -> Any:
    assert (response.status_code, response.json()["code"]) == (status, code), response.content
    return response.json()


def send_raw(people: People, raw: bytes) -> Any:
    client: Any = people["alice"]  # its type knows no bytes
    return client.generic("POST", "/orders", raw, content_type="application/json")


def invalid_fields(response: Any) -> dict[str, str]:
    return {error["field"]: error["code"] for error in refused(response, 400, "invalid")["errors"]}


def test_short_form_places_an_order_of_one_line(people: People) -> None:
    response = people["alice"].post("/orders", SHORT)
    assert response.status_code == 201
    assert response["Location"] == "/orders/o553"
    assert response["ETag"] == '"1"'
    body = response.json()
    assert body["lines"] == [{"line_no": 1, "sku": "Shoes", "quantity": 2, "unit_price": None}]
    assert (body["id"], body["user_id"], body["status"], body["version"]) == ("o553", "carol", "placed", 1)
    assert people["alice"].get("/orders/o553").json() == body


def test_unknown_item_is_made_with_its_text_as_sku_and_name(people: People) -> None:
    placed(people)
    item = Item.objects.get(sku="Shoes")
    assert (item.name, item.list_price, item.retired_at) == ("Shoes", None, None)


def test_ordered_now_unless_told(people: People) -> None:
    before = datetime.now(UTC)
    placed(people)
    assert before <= Order.objects.get().ordered_at <= datetime.now(UTC)  # type: ignore[operator]
    placed(people, "o2", ordered_at="2026-03-04T10:12:00+01:00")
    assert Order.objects.get(pk="o2").ordered_at == datetime(2026, 3, 4, 9, 12, tzinfo=UTC)


def test_list_price_is_taken_where_none_is_given(people: People) -> None:
    people["alice"].post("/items", {"sku": "Shoes", "list_price": "39.9"})
    assert placed(people, "o1").json()["lines"][0]["unit_price"] == "39.9000"
    assert placed(people, "o2", unit_price=None).json()["lines"][0]["unit_price"] == "39.9000"
    assert placed(people, "o3", unit_price="0").json()["lines"][0]["unit_price"] == "0.0000"


def test_lines_are_numbered_after_the_highest_given(people: People) -> None:
    lines = [{"sku": "a", "quantity": 1}, {"item": "b", "quantity": 1, "line_no": 7}, {"sku": "a", "quantity": 3}]
    body = placed(people, lines=lines).json()
    assert [(line["line_no"], line["sku"]) for line in body["lines"]] == [(7, "b"), (8, "a"), (9, "a")]


def test_id_is_made_when_none_is_given(people: People) -> None:
    wanted = {name: value for name, value in SHORT.items() if name != "id"}
    responses = [people["alice"].post("/orders", wanted) for _ in range(2)]
    first, second = (response.json()["id"] for response in responses)
    assert first != second
    assert people["alice"].get(responses[0]["Location"]).json()["id"] == first


@pytest.mark.parametrize("order_id", ["a/b", "a.b", "ü ñ", "100%", "a?b#c", "..", "'\"<>&", "x" * 128, "😀"])
def test_any_text_key_can_be_an_id(people: People, order_id: str) -> None:
    response = people["alice"].post("/orders", {**SHORT, "id": order_id})
    assert response.status_code == 201
    # The test client has no raw address, which is what keeps an encoded slash apart; see test_serving.
    if "/" not in order_id:
        assert people["alice"].get(response["Location"]).json()["id"] == order_id


def test_the_event_is_written_with_the_order(people: People) -> None:
    placed(people)
    entry = Entry.objects.get()
    assert (entry.kind, entry.type, entry.key, entry.version) == ("order", "com.sluice.order.placed.v1", "o553", 1)


def test_twice_is_refused_and_leaves_the_first_alone(people: People) -> None:
    placed(people)
    refused(people["alice"].post("/orders", {**SHORT, "item": "Hats", "quantity": 9}), 409, "order_exists")
    assert OrderLine.objects.get().item_id == "Shoes"
    assert Entry.objects.count() == 1
    assert not Item.objects.filter(sku="Hats").exists()


def test_unknown_user_leaves_nothing(people: People) -> None:
    refused(people["alice"].post("/orders", {**SHORT, "user_id": "nobody"}), 400, "unknown_user")
    assert not Order.objects.exists()
    assert not Item.objects.exists()


def test_retired_item_is_refused(people: People) -> None:
    people["alice"].post("/items", {"sku": "Shoes"})
    people["alice"].post("/items/Shoes/retire")
    refused(people["alice"].post("/orders", SHORT), 409, "item_retired")
    assert not Order.objects.exists()


def test_without_a_token_401(db: None) -> None:
    response = APIClient().post("/orders", SHORT)
    refused(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Bearer"


def test_without_a_role_403(people: People) -> None:
    refused(people["carol"].post("/orders", SHORT), 403, "permission_denied")


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"quantity": 0}, "quantity", "min_value"),
        ({"quantity": -1}, "quantity", "min_value"),
        ({"quantity": 2**31}, "quantity", "max_value"),
        ({"quantity": 10**400}, "quantity", "max_value"),
        ({"quantity": 1.5}, "quantity", "invalid"),
        ({"quantity": "2"}, "quantity", "invalid"),
        ({"quantity": True}, "quantity", "invalid"),
        ({"quantity": None}, "quantity", "null"),
        ({"quantity": [2]}, "quantity", "invalid"),
        ({"unit_price": "100000000000000"}, "unit_price", "max_whole_digits"),
        ({"unit_price": 10**60}, "unit_price", "max_digits"),
        ({"unit_price": "0.00001"}, "unit_price", "max_decimal_places"),
        ({"unit_price": 1e-5}, "unit_price", "max_decimal_places"),
        ({"unit_price": "-0.01"}, "unit_price", "min_value"),
        ({"unit_price": "NaN"}, "unit_price", "invalid"),
        ({"unit_price": "Infinity"}, "unit_price", "invalid"),
        ({"unit_price": "1e2"}, "unit_price", "invalid"),
        ({"unit_price": "1_000"}, "unit_price", "invalid"),
        ({"unit_price": "\u0661"}, "unit_price", "invalid"),
        ({"unit_price": True}, "unit_price", "invalid"),
        ({"unit_price": {}}, "unit_price", "invalid"),
        ({"currency": "eur"}, "currency", "invalid_choice"),
        ({"currency": "ZZZ"}, "currency", "invalid_choice"),
        ({"currency": ["EUR"]}, "currency", "invalid_choice"),
        ({"country": "x" * 65}, "country", "max_length"),
        ({"country": "D\nE"}, "country", "invalid"),
        ({"country": " DE"}, "country", "invalid"),
        ({"country": 49}, "country", "invalid"),
        ({"ordered_at": "2026-03-04"}, "ordered_at", "invalid"),
        ({"ordered_at": "2026-03-04T09:12:00"}, "ordered_at", "offset"),
        ({"ordered_at": "2026-02-30T09:12:00Z"}, "ordered_at", "invalid"),
        ({"ordered_at": "0001-01-01T00:00:00+14:00"}, "ordered_at", "overflow"),
        ({"ordered_at": 1772615520}, "ordered_at", "invalid"),
        ({"attributes": []}, "attributes", "not_a_dict"),
        ({"attributes": {"x": "y" * 70_000}}, "attributes", "too_long"),
        ({"id": ""}, "id", "blank"),
        ({"id": " o1"}, "id", "invalid_key"),
        ({"id": "o\u00851"}, "id", "invalid_key"),
        ({"id": "x" * 129}, "id", "max_length"),
        ({"id": 553}, "id", "invalid"),
        ({"user_id": None}, "user_id", "null"),
        ({"item": "a\tb"}, "item", "invalid_key"),
        ({"quantitty": 2}, "quantitty", "unknown_field"),
        ({"lines": []}, "item", "unknown_field"),
        ({"status": "paid"}, "status", "unknown_field"),
    ],
)
def test_what_is_not_valid(people: People, change: dict[str, Any], field: str, code: str) -> None:
    response = people["alice"].post("/orders", {**SHORT, **change})
    assert invalid_fields(response).get(field) == code, response.content
    assert not Order.objects.exists()


@pytest.mark.parametrize(
    ("lines", "field", "code"),
    [
        ([], "lines", "min_length"),
        ([{"quantity": 1}], "lines.0.sku", "exclusive"),
        ([{"sku": "a", "item": "b", "quantity": 1}], "lines.0.item", "exclusive"),
        ([{"sku": "a", "quantity": 1, "line_no": 0}], "lines.0.line_no", "min_value"),
        ([{"sku": "a", "quantity": 1, "line_no": 2**53}], "lines.0.line_no", "max_value"),
        ([{"sku": "a", "quantity": 1}, {"sku": "a"}], "lines.1.quantity", "required"),
        ([{"sku": "a", "quantity": 1}, 7], "lines.1", "invalid"),
        ("a", "lines", "not_a_list"),
        ({"0": {}}, "lines", "not_a_list"),
        ([{"sku": "a", "quantity": 1}] * 10_001, "lines", "max_length"),
    ],
)
def test_lines_that_are_not_valid(people: People, lines: Any, field: str, code: str) -> None:
    response = people["alice"].post("/orders", {"id": "o553", "user_id": "carol", "lines": lines})
    assert invalid_fields(response).get(field) == code, response.content


def test_a_line_number_given_twice(people: People) -> None:
    line = {"sku": "a", "quantity": 1, "line_no": 3}
    refused(people["alice"].post("/orders", {"user_id": "carol", "lines": [line, line]}), 400, "duplicate_line")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"id": "o553", "item": "a", "quantity": NaN, "user_id": "carol"}',
        b'{"id": "o553", "item": "a", "quantity": 1, "user_id": "carol", "unit_price": 1e999}',
        b'{"id": "o553", "item": "a", "quantity": 1, "quantity": 2, "user_id": "carol"}',
        rb'{"id": "o\u0000553", "item": "a", "quantity": 1, "user_id": "carol"}',
        rb'{"id": "o553", "item": "a", "quantity": 1, "user_id": "carol", "attributes": {"\ud800": 1}}',
        rb'{"id": "o553", "item": "a", "quantity": 1, "user_id": "carol", "attributes": {"a": ["\u0000"]}}',
        b"[" * 100_000,
        b'{"attributes": ' * 70 + b"1" + b"}" * 70,
        b'{"quantity": ' + b"9" * 5_000 + b"}",
    ],
    ids=lambda raw: raw[:40].decode("latin-1"),
)
def test_bodies_that_are_no_order(people: People, raw: bytes) -> None:
    response = send_raw(people, raw)
    assert response.status_code == 400, response.content
    assert response["Content-Type"] == "application/problem+json"
    assert not Order.objects.exists()


def test_a_body_that_is_too_large(people: People) -> None:
    body = b'{"id": "' + b"x" * (8 << 20) + b'"}'
    refused(send_raw(people, body), 413, "too_large")


def test_a_price_is_stored_as_it_was_written(people: People) -> None:
    raw = b'{"id": "o553", "item": "a", "quantity": 2147483647, "user_id": "carol", "unit_price": 99999999999999.9999}'
    response = send_raw(people, raw)
    assert response.json()["lines"][0]["unit_price"] == "99999999999999.9999"


def test_attributes_come_back_as_they_were(people: People) -> None:
    attributes = {"a": [1, 1.5, None, True, {"ü": "\u2028"}], "big": 10**30}
    assert placed(people, attributes=attributes).json()["attributes"] == attributes


def test_a_country_of_two_letters_is_written_in_capitals(people: People) -> None:
    assert placed(people, country="de").json()["country"] == "DE"


def test_ten_thousand_lines_in_one_request(people: People) -> None:
    body = placed(people, lines=[{"sku": f"s{number % 50}", "quantity": 1} for number in range(10_000)]).json()
    assert (len(body["lines"]), body["lines_complete"]) == (1_000, False)
    assert OrderLine.objects.count() == 10_000
    page = people["alice"].get(body["lines_url"] + "?limit=1000&ordering=-line_no").json()
    assert [line["line_no"] for line in page["results"]] == list(range(10_000, 9_000, -1))


def test_services_keep_the_clock_of_their_caller(people: People) -> None:
    from orders.drafts import LineDraft, OrderDraft
    from orders.services import order_place

    now = datetime(2020, 1, 1, tzinfo=UTC)
    draft = OrderDraft(user_id="carol", lines=[LineDraft(sku="a", quantity=1)], ordered_at=now - timedelta(days=1))
    order = Order.objects.get(pk=order_place(draft=draft, now=now).pk)
    assert order.ordered_at == now - timedelta(days=1)
    assert [order.created_at, order.updated_at, Item.objects.get().created_at] == [now] * 3
