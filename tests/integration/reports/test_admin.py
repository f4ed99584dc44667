"""Reports in the admin."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import User
from orders.models import Order
from reports.projection import Position, apply
from tests.integration.orders.people import People, make_role, make_user
from tests.integration.reports.records import NOW, TOPIC, event

pytestmark = pytest.mark.django_db


@pytest.fixture
def root() -> Client:
    """Somebody who may see everything."""
    client = Client()
    client.force_login(User.objects.create_superuser("root", email="root@example.com"))
    return client


@pytest.fixture
def orders() -> None:
    """Two orders on two days, one of them of a foreign country."""
    events = [
        event("o1", ordered_at="2026-03-04T00:00:00Z", country="DE", partition=3, offset=17),
        event("o1", 2, ordered_at="2026-03-04T00:00:00Z", country="DE", partition=3, offset=18),
        event("o2", ordered_at="2026-03-01T00:00:00Z", country="<i>", lines=[]),
    ]
    apply(events, positions=[Position(TOPIC, 3, 19, 30, 2, 1, "somebody", None)], now=NOW)


def text(client: Client, address: str, **query: Any) -> str:
    response = client.get(address, query)
    assert response.status_code == 200
    return response.content.decode()


def test_sales_before_anything_was_read(root: Client) -> None:
    assert "rebuild_reports" in text(root, "/admin/reports/daysum/")


@pytest.mark.parametrize(
    ("by", "shown"), [("day", "2026-03-04"), ("country", "&lt;i&gt;"), ("user", "u1"), ("item", "Shoes")]
)
def test_sales_as_charts_and_as_a_table(root: Client, orders: None, by: str, shown: str) -> None:
    page = text(root, "/admin/reports/daysum/", by=by, currency="EUR", days="7")
    assert page.count('<svg viewBox="0 0 960') == 2
    assert "<title>2026-03-04: 1</title>" in page
    assert f'<th scope="row">{shown}</th>' in page


def test_nonsense_in_the_address_is_the_default(root: Client, orders: None) -> None:
    assert "The 30 days up to 2026-03-04" in text(root, "/admin/reports/daysum/", days="x", by="y", currency="z")


def test_people_see_what_the_api_shows_them(people: People, orders: None) -> None:
    role = make_role("looks-at-sales", is_regional=False)
    role.permissions.set(Permission.objects.filter(codename__in=["view_daysum"]))
    people.bob.memberships.create(role=role)
    people.bob.is_staff = True
    people.bob.save()
    client = Client()
    client.force_login(people.bob)
    page = text(client, "/admin/reports/daysum/", by="country")
    assert '<th scope="row">DE</th>' in page
    assert "&lt;i&gt;" not in page
    assert '<option value="item"' not in page
    outsider = make_user("staff")
    outsider.is_staff = True
    outsider.save()
    client.force_login(outsider)
    assert client.get("/admin/reports/daysum/").status_code == 403


@pytest.fixture
def people() -> People:
    """Bob sees orders of Germany and Austria."""
    return People()


def test_the_history_of_an_order_is_found_by_its_id(root: Client, orders: None) -> None:
    assert "o1:2" not in text(root, "/admin/reports/historyentry/")
    page = text(root, "/admin/reports/historyentry/", q="o1")
    assert page.index("o1:2") < page.index("o1:1")
    assert "/admin/orders/order/o1/change/" in page


def test_an_order_leads_to_its_history(root: Client) -> None:
    Order.objects.create(pk="o/1", status="placed")
    assert "/admin/reports/historyentry/?q=o%2F1" in text(root, "/admin/orders/order/o_2F1/change/")


def test_how_far_the_partitions_are(root: Client, orders: None) -> None:
    page = text(root, "/admin/reports/consumption/")
    assert '<td class="field-lag">11</td>' in page


def test_nothing_is_edited(root: Client, orders: None) -> None:
    for model in ("daysum", "historyentry", "consumption"):
        assert root.get(f"/admin/reports/{model}/add/").status_code == 403
