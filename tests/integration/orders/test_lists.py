"""GET /orders, /orders/{id}/lines, /items: pages, filters, orderings, and who sees what."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from rest_framework.test import APIClient

from config.kernel import keyset
from config.kernel.api import pagination
from orders import selectors
from orders.models import Item, Order, OrderLine
from tests.integration.orders.people import NOW, People
from tests.integration.orders.test_placing import invalid_fields, refused

STATUSES = ("placed", "paid", "shipped", "cancelled")
COUNTRIES = ("DE", "AT", "FR", "")
ORDERS = 120


@pytest.fixture
def orders(people: People) -> list[Order]:
    """Some orders; many share one moment, as after an import."""
    chance = random.Random(1)
    made = [
        Order(
            id=f"o{number:03}",
            user_id=chance.choice(["alice", "carol", "charlie", None]),
            status=chance.choice(STATUSES),
            country=chance.choice(COUNTRIES),
            currency=chance.choice(["EUR", "USD"]),
            import_id=chance.choice([None, 1, 2]),
            created_at=NOW + timedelta(minutes=number // 24),
            updated_at=NOW,
            ordered_at=None if number % 10 == 0 else NOW - timedelta(days=chance.randrange(20)),
        )
        for number in range(ORDERS)
    ]
    return Order.objects.bulk_create(made)


def pages(client: APIClient, path: str, **query: Any) -> Iterator[list[Any]]:
    """Follow `next` to the end."""
    url: str | None = f"{path}?{urlencode(query)}"
    while url:
        response = client.get(url)
        assert response.status_code == 200, response.content
        body = response.json()
        yield body["results"]
        url = body["next"]


def ids(client: APIClient, path: str = "/orders", **query: Any) -> list[str]:
    return [row["id"] for page in pages(client, path, **query) for row in page]


@pytest.fixture(params=["walking", "narrow"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of making a list, with windows so small that pages need several."""
    monkeypatch.setattr(selectors, "NARROW_ROWS", 0 if request.param == "walking" else 10**9)
    monkeypatch.setattr(keyset, "FIRST_WINDOW", 7)
    monkeypatch.setattr(keyset, "LARGEST_WINDOW", 20)
    return str(request.param)


@pytest.mark.parametrize("limit", [3, 50, ORDERS, 1000])
@pytest.mark.parametrize("ordering", ["id", "-id"])
def test_every_order_is_on_one_page(people: People, orders: list[Order], limit: int, ordering: str) -> None:
    expected = sorted((order.id for order in orders), reverse=ordering == "-id")
    found = list(pages(people["alice"], "/orders", limit=limit, ordering=ordering))
    assert [row["id"] for page in found for row in page] == expected
    assert all(len(page) == limit for page in found[:-1])


FILTERS: list[dict[str, Any]] = [
    {"user_id": "carol"},
    {"status": "paid"},
    {"country": "de"},
    {"currency": "USD"},
    {"import_id": 2},
    {"created_at__gte": NOW + timedelta(minutes=1), "created_at__lt": NOW + timedelta(minutes=3)},
    {"ordered_at__lt": NOW - timedelta(days=10)},
    {"user_id": "carol", "status": "placed", "country": "AT", "ordered_at__gte": NOW - timedelta(days=15)},
    {"status": "delivered"},
]


def matches(order: Order, filters: dict[str, Any]) -> bool:
    for name, wanted in filters.items():
        column, _, how = name.partition("__")
        value = getattr(order, column)
        if how == "gte":
            ok = value is not None and value >= wanted
        elif how == "lt":
            ok = value is not None and value < wanted
        else:
            ok = value == (wanted.upper() if column == "country" else wanted)
        if not ok:
            return False
    return True


@pytest.mark.parametrize("ordering", selectors.ORDERINGS)
def test_filters(people: People, orders: list[Order], way: str, ordering: str) -> None:
    names = [name.lstrip("-") for name in selectors.ORDERINGS[ordering]]
    for filters in FILTERS:
        query = {**texts(filters), "ordering": ordering, "limit": 19}
        if way == "walking" and "id" not in ordering:
            refused(people["alice"].get("/orders", query), 400, "too_many_to_sort")
            continue
        expected = [order for order in orders if matches(order, filters)]
        if "ordered_at" in ordering:
            expected = [order for order in expected if order.ordered_at is not None]
        expected.sort(key=lambda order: [getattr(order, name) for name in names], reverse=ordering.startswith("-"))
        assert ids(people["alice"], **query) == [order.id for order in expected], filters


def texts(filters: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in filters.items()}


@pytest.mark.parametrize("query", [{}, {"status": "paid"}, {"user_id": "carol"}])
@pytest.mark.parametrize("ordering", ["id", "-id"])
def test_previous_leads_back(
    people: People, orders: list[Order], way: str, query: dict[str, str], ordering: str
) -> None:
    forward, back = [], []
    url: str | None = f"/orders?{urlencode({**query, 'limit': 8, 'ordering': ordering})}"
    while url:
        body = people["alice"].get(url).json()
        forward.append([row["id"] for row in body["results"]])
        last, url = url, body["next"]
    url = last
    while url:
        body = people["alice"].get(url).json()
        back.append([row["id"] for row in body["results"]])
        url = body["previous"]
    flat = [row for page in reversed(back) for row in page]
    assert flat == [row for page in forward for row in page]


@pytest.mark.parametrize("way", ["walking"], indirect=True)
def test_a_page_ends_when_its_time_is_up_and_the_next_goes_on(
    people: People, orders: list[Order], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "WALK_SECONDS", -1.0)
    wanted = [order.id for order in orders if order.status == "paid" and order.country == "FR"]
    found = list(pages(people["alice"], "/orders", status="paid", country="FR", limit=5))
    assert [row["id"] for page in found for row in page] == wanted
    assert len(found) == ORDERS // 7 + 1  # a window each
    assert any(not page for page in found)
    back: list[str] = []
    url: str | None = "/orders?status=paid&country=FR&limit=5"
    while url:
        last = people["alice"].get(url).json()
        url = last["next"]
    url = last["previous"]
    while url:
        body = people["alice"].get(url).json()
        back = [row["id"] for row in body["results"]] + back
        url = body["previous"]
    assert back + [row["id"] for row in last["results"]] == wanted


def test_rows_that_come_and_go_neither_repeat_nor_hide_others(people: People, orders: list[Order]) -> None:
    first = people["alice"].get("/orders?limit=100").json()
    Order.objects.bulk_create([Order(id=f"o{number:03}x", created_at=NOW, updated_at=NOW) for number in range(150)])
    rest = [row["id"] for page in pages(people["alice"], first["next"]) for row in page]
    assert rest == sorted(
        [f"o{number:03}" for number in range(100, ORDERS)] + [f"o{number:03}x" for number in range(99, 150)]
    )


def test_who_sees_which_orders(people: People, orders: list[Order], way: str) -> None:
    everything = [order.id for order in orders]
    region = [order.id for order in orders if order.country in ("DE", "AT")]
    assert ids(people["alice"], limit=40) == everything
    assert ids(people["bob"], limit=40) == region
    assert ids(people["carol"], limit=40) == [order.id for order in orders if order.user_id == "carol"]
    assert ids(people["bob"], limit=40, country="FR") == []
    assert ids(people["carol"], limit=40, user_id="charlie") == []


def test_own_orders_elsewhere_are_seen_beside_those_of_the_region(people: People, orders: list[Order]) -> None:
    Order.objects.create(id="mine", user=people.bob, country="FR", created_at=NOW, updated_at=NOW)
    assert "mine" in ids(people["bob"])


def test_rows_hold_what_the_order_holds(people: People, orders: list[Order]) -> None:
    row = people["alice"].get("/orders?limit=1").json()["results"][0]
    full = people["alice"].get("/orders/o000").json()
    assert row == {name: value for name, value in full.items() if not name.startswith("lines")}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": "9" * 400}, "limit"),
        ({"ordering": "status"}, "ordering"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "\x00"}, "cursor"),
        ({"status": "lost"}, "status"),
        ({"stauts": "paid"}, "stauts"),
        ({"user_id": " a"}, "user_id"),
        ({"user_id": "x" * 129}, "user_id"),
        ({"country": "a\nb"}, "country"),
        ({"currency": "eur"}, "currency"),
        ({"import_id": "0"}, "import_id"),
        ({"import_id": str(2**63)}, "import_id"),
        ({"import_id": "1.5"}, "import_id"),
        ({"created_at__gte": "yesterday"}, "created_at__gte"),
        ({"ordered_at__lt": "2026-03-04T09:12:00"}, "ordered_at__lt"),
    ],
)
def test_queries_that_are_not_valid(people: People, query: dict[str, str], field: str) -> None:
    response = people["alice"].get("/orders", query)
    if query.get("cursor") == "\x00":
        assert response.status_code == 400
    else:
        assert field in invalid_fields(response)


def test_a_cursor_is_of_one_ordering_and_cannot_be_made_up(people: People, orders: list[Order]) -> None:
    body = people["alice"].get("/orders?limit=2").json()
    assert "cursor" in invalid_fields(people["alice"].get(body["next"] + "&ordering=-id"))
    assert "cursor" in invalid_fields(people["alice"].get(body["next"].replace("cursor=", "cursor=x")))


def test_a_slow_query_is_given_up(people: People, orders: list[Order], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orders.views.TIMEOUT_MS", 1)
    monkeypatch.setattr(pagination, "TIMEOUT_MS", 1)
    slow = Order.objects.extra(where=["pg_sleep(0.1) IS NOT NULL"])
    monkeypatch.setattr(selectors, "orders_seen", lambda access: slow)
    refused(people["alice"].get("/orders"), 503, "query_too_slow")


def test_lines_of_an_order_in_pages(people: People, orders: list[Order]) -> None:
    Item.objects.create(sku="a")
    OrderLine.objects.bulk_create(
        OrderLine(order_id="o001", line_no=number * 10, item_id="a", quantity=1) for number in range(1, 2_502)
    )
    body = people["alice"].get("/orders/o001").json()
    assert (len(body["lines"]), body["lines_complete"]) == (1_000, False)
    found = [row for page in pages(people["alice"], body["lines_url"], limit=1000) for row in page]
    assert [row["line_no"] for row in found] == [number * 10 for number in range(1, 2_502)]
    assert found[:1_000] == body["lines"]
    back = [row for page in pages(people["alice"], body["lines_url"], limit=900, ordering="-line_no") for row in page]
    assert back == found[::-1]


def test_lines_are_for_who_may_see_the_order(people: People, orders: list[Order]) -> None:
    Order.objects.filter(pk="o001").update(country="FR", user="carol")
    assert people["alice"].get("/orders/o001/lines").status_code == 200
    assert people["carol"].get("/orders/o001/lines").status_code == 200
    refused(people["bob"].get("/orders/o001/lines"), 404, "not_found")
    refused(people["charlie"].get("/orders/o001/lines"), 404, "not_found")
    refused(people["alice"].get("/orders/none/lines"), 404, "not_found")
    assert "status" in invalid_fields(people["alice"].get("/orders/o001/lines?status=paid"))


def test_items_in_pages(people: People) -> None:
    Item.objects.bulk_create(
        Item(sku=f"s{number:03}", retired_at=NOW if number % 3 == 0 else None) for number in range(100)
    )
    skus = [f"s{number:03}" for number in range(100)]

    def found(**query: Any) -> list[str]:
        return [row["sku"] for page in pages(people["alice"], "/items", limit=7, **query) for row in page]

    assert found() == skus
    assert found(ordering="-sku") == skus[::-1]
    assert found(retired="true") == skus[::3]
    assert found(retired="false") == [sku for sku in skus if sku not in skus[::3]]
    assert "retired" in invalid_fields(people["alice"].get("/items?retired=perhaps"))
    refused(people["charlie"].get("/items"), 403, "permission_denied")


def test_times_are_utc(people: People, orders: list[Order]) -> None:
    assert people["alice"].get("/orders?limit=1").json()["results"][0]["created_at"] == "2026-03-04T09:12:00Z"
    assert datetime(2026, 3, 4, 9, 12, tzinfo=UTC) == NOW
