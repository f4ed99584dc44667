"""Orders and items in the admin."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from config.kernel import keyset
from orders import admin, selectors
from orders.caching import item_rendered
from orders.models import Item, Order, OrderLine
from orders.outbox.models import Entry
from tests.integration.orders.people import NOW, People, placed

LIST = "/admin/orders/order/"
ITEMS = "/admin/orders/item/"


@pytest.fixture
def desk(people: People) -> dict[str, Client]:
    """Alice and Bob signed in as staff."""
    clients = {}
    for name in ("alice", "bob"):
        user = getattr(people, name)
        user.is_staff = True
        user.save()
        clients[name] = Client()
        clients[name].force_login(user)
    return clients


@pytest.fixture
def orders(people: People) -> list[Order]:
    Item.objects.create(sku="a/1", name="A lamp")
    made = [
        Order(
            id=f"o{number:03}", user=people.carol if number % 5 == 0 else None, country="FR" if number % 2 else "DE",
            status="paid" if number % 3 == 0 else "placed", import_id=number % 7, created_at=NOW, updated_at=NOW,
        )
        for number in range(60)
    ]  # fmt: skip
    Order.objects.bulk_create(made)
    OrderLine.objects.bulk_create(
        OrderLine(order_id="o001", line_no=number, item_id="a/1", quantity=number, unit_price=Decimal("1.5"))
        for number in range(1, 4)
    )
    return made


@pytest.fixture(params=["walking", "narrow"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectors, "NARROW_ROWS", 0 if request.param == "walking" else 10**9)
    monkeypatch.setattr(keyset, "FIRST_WINDOW", 7)
    return


def shown(client: Client, path: str = LIST, **query: Any) -> list[str]:
    response = client.get(path, query)
    assert response.status_code == 200
    return [row.pk for row in response.context["cl"].result_list]


@pytest.mark.usefixtures("_way")
def test_lists(desk: dict[str, Client], orders: list[Order]) -> None:
    everything = [order.pk for order in orders][::-1]
    assert shown(desk["alice"]) == everything[:50]
    assert shown(desk["alice"], p="2") == everything[50:]
    assert shown(desk["alice"], status="paid") == [pk for pk in everything if int(pk[1:]) % 3 == 0]
    assert shown(desk["alice"], import_id="3") == [pk for pk in everything if int(pk[1:]) % 7 == 3]
    assert shown(desk["alice"], q="o01") == [f"o01{digit}" for digit in range(9, -1, -1)]
    assert shown(desk["alice"], q="carol") == [pk for pk in everything if int(pk[1:]) % 5 == 0]
    assert shown(desk["alice"], q="o01", status="paid") == ["o018", "o015", "o012"]
    assert shown(desk["alice"], q="%") == []
    assert shown(desk["bob"]) == [pk for pk in everything if int(pk[1:]) % 2 == 0]


def test_what_was_written_in_a_period(desk: dict[str, Client], orders: list[Order]) -> None:
    Order.objects.filter(pk="o007").update(created_at=datetime.now(UTC) - timedelta(hours=3))
    assert shown(desk["alice"], created="day") == ["o007"]
    assert shown(desk["alice"], created="hour") == []


def test_more_than_is_shown_is_told(
    desk: dict[str, Client], orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "SHOWN_AT_MOST", 10)
    response = desk["alice"].get(LIST, {"status": "placed"})
    assert "there may be others" in response.content.decode()
    assert len(response.context["cl"].result_list) == 10


def test_lists_of_many_orders_ask_little(
    desk: dict[str, Client], orders: list[Order], django_assert_max_num_queries: Any
) -> None:
    desk["alice"].get(LIST)
    with django_assert_max_num_queries(12):
        desk["alice"].get(LIST, {"status": "paid"})


def test_an_order_is_only_looked_at(desk: dict[str, Client], orders: list[Order]) -> None:
    response = desk["alice"].get(f"{LIST}o001/change/")
    page = response.content.decode()
    assert response.status_code == 200
    assert "/admin/orders/item/a_2F1/change/" in page
    assert page.count("<td>1.5000</td>") == 3
    assert desk["alice"].post(f"{LIST}o001/change/", {"status": "paid"}).status_code == 403
    assert desk["alice"].post(f"{LIST}o001/delete/", {"post": "yes"}).status_code == 403
    assert desk["alice"].get(f"{LIST}add/").status_code == 403
    assert desk["bob"].get(f"{LIST}o001/change/").status_code == 302  # not there, for Bob


def test_long_orders_show_their_first_lines(desk: dict[str, Client], orders: list[Order]) -> None:
    OrderLine.objects.bulk_create(
        OrderLine(order_id="o002", line_no=number, item_id="a/1", quantity=1) for number in range(1, 500)
    )
    page = desk["alice"].get(f"{LIST}o002/change/").content.decode()
    assert f"The first {admin.LINES_SHOWN} lines" in page


def test_markup_in_ids_is_harmless(desk: dict[str, Client], people: People) -> None:
    placed(people, "<script>alert(1)</script>", item="<b>x</b>")
    assert "<script>alert(1)" not in desk["alice"].get(LIST).content.decode()
    page = desk["alice"].get(f"{LIST}_3Cscript_3Ealert(1)_3C_2Fscript_3E/change/").content.decode()
    assert "<script>alert(1)" not in page
    assert "<b>x</b>" not in page


def act(client: Client, action: str, *keys: str, path: str = LIST, **data: str) -> Any:
    return client.post(path, {"action": action, "_selected_action": keys, **data}, follow=True)


def texts(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def test_status_goes_on_by_services(desk: dict[str, Client], people: People) -> None:
    for number in range(3):
        placed(people, f"o{number}")
    people["alice"].get("/orders/o0")
    told = texts(act(desk["alice"], "mark_paid", "o0", "o1"))
    assert told == ["2 orders are paid."]
    assert people["alice"].get("/orders/o0").json()["status"] == "paid"
    told = texts(act(desk["alice"], "mark_shipped", "o0", "o2"))
    assert told[0] == "1 orders are shipped."
    assert "'o2' is placed and cannot become shipped" in told[1]
    last = Entry.objects.latest("pk")
    assert (last.key, last.version, last.source) == ("o0", 3, "admin")


def test_cancelling_asks_first(desk: dict[str, Client], people: People) -> None:
    placed(people, "o0")
    page = act(desk["alice"], "cancel", "o0").content.decode()
    assert "will be cancelled" in page
    assert Order.objects.get().status == "placed"
    act(desk["alice"], "cancel", "o0", confirmed="yes")
    assert Order.objects.get().status == "cancelled"
    assert Entry.objects.latest("pk").type == "com.sluice.order.cancelled.v1"


def test_actions_need_the_permission_and_the_region(desk: dict[str, Client], people: People) -> None:
    placed(people, "o0", country="FR")
    act(desk["bob"], "mark_paid", "o0")
    assert Order.objects.get().status == "placed"
    people.alice.memberships.get().role.permissions.remove(
        *people.alice.memberships.get().role.permissions.filter(codename="change_order")
    )
    act(desk["alice"], "mark_paid", "o0")
    assert Order.objects.get().status == "placed"


def test_items_are_made_changed_and_retired_by_services(desk: dict[str, Client], people: People) -> None:
    client = desk["alice"]
    client.post(f"{ITEMS}add/", {"sku": "lamp", "name": "", "list_price": "1.5"})
    item = Item.objects.get()
    assert (item.sku, item.name, item.list_price) == ("lamp", "lamp", Decimal("1.5"))
    again = client.post(f"{ITEMS}add/", {"sku": "lamp", "name": "", "list_price": ""})
    assert "already exists" in again.content.decode()
    people["alice"].get("/items/lamp")
    client.post(f"{ITEMS}lamp/change/", {"name": "A lamp", "list_price": ""})
    assert people["alice"].get("/items/lamp").json()["list_price"] is None
    rendered = item_rendered("lamp")
    assert rendered is not None
    assert b"A lamp" in rendered.body
    act(client, "retire", "lamp", path=ITEMS)
    assert people["alice"].get("/items/lamp").json()["retired_at"] is not None
    assert client.post(f"{ITEMS}lamp/delete/", {"post": "yes"}).status_code == 403


def test_items_are_found(desk: dict[str, Client]) -> None:
    Item.objects.bulk_create(
        Item(sku=f"s{number:03}", name=f"Thing {number}", retired_at=NOW if number % 2 else None)
        for number in range(30)
    )
    assert shown(desk["alice"], ITEMS, q="s00") == [f"s00{digit}" for digit in range(10)]
    assert shown(desk["alice"], ITEMS, q="thing 29") == ["s029"]
    assert shown(desk["alice"], ITEMS, retired="yes") == [f"s{number:03}" for number in range(1, 30, 2)]
