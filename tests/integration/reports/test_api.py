"""GET /reports/…: sums, filters, pages, and who sees what."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from rest_framework.test import APIClient

from config.kernel import keyset
from reports.projection import apply
from tests.integration.orders.people import People, client_of, make_role, make_user
from tests.integration.reports.records import NOW, event

pytestmark = pytest.mark.django_db
COUNTRIES = ("DE", "AT", "FR", "")


@pytest.fixture
def people() -> People:
    """Alice sees all orders, Bob those of Germany and Austria, Charlie none."""
    return People()


@pytest.fixture
def orders() -> list[Any]:
    """120 orders on ten days, in two currencies and four countries; every sixth is cancelled."""
    events = [
        event(
            f"o{number:03}",
            user_id=None if number % 11 == 0 else f"u{number % 9}",
            country=COUNTRIES[number % 4],
            currency=["EUR", "USD"][number % 3 == 0],
            ordered_at=f"2026-03-{number % 10 + 1:02}T12:00:00Z",
            status="cancelled" if number % 6 == 0 else "placed",
            lines=[
                {"sku": f"i{number % 7}", "quantity": 2, "unit_price": "1.2500"},
                {"sku": "gift", "quantity": 1, "unit_price": None},
            ],
        )
        for number in range(120)
    ]
    apply(events, now=NOW)
    return [each.state for each in events]


def rows(client: APIClient, report: str, **query: Any) -> list[dict[str, Any]]:
    """All pages, following `next`."""

    def pages() -> Iterator[list[Any]]:
        url: str | None = f"/reports/{report}?{urlencode(query)}"
        while url:
            response = client.get(url)
            assert response.status_code == 200, response.content
            yield response.json()["results"]
            url = response.json()["next"]

    return [row for page in pages() for row in page]


def summed(states: list[Any], *names: str, sku: str | None = None) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Key → sums, counted one by one."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    for state in states:
        items = [item for item in state.items if sku in (None, item[0])]
        key = (*(getattr(state, name) for name in names), state.currency)
        row = found.setdefault(key, [0, 0, 0, 0])
        row[1 if state.cancelled else 0] += 1
        if not state.cancelled:
            row[2] += sum(item[1] for item in items)
            row[3] += sum(item[2] for item in items)
    return {key: (*row[:3], f"{Decimal(row[3]) / 10_000:.4f}") for key, row in found.items()}


def shown(found: list[dict[str, Any]], *names: str) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    sums = ("orders", "cancelled", "quantity", "revenue")
    keyed = {(*(row[name] for name in names), row["currency"]): tuple(row[name] for name in sums) for row in found}
    assert len(keyed) == len(found), "a row is there twice"
    return keyed


@pytest.mark.parametrize("limit", [3, 1000])
def test_each_report_sums_what_is_seen(people: People, orders: list[Any], limit: int) -> None:
    alice = people["alice"]
    assert shown(rows(alice, "days", limit=limit), "day") == summed(orders, "day")
    assert shown(rows(alice, "countries", limit=limit), "country") == summed(orders, "country")
    with_users = [state for state in orders if state.user_id]
    assert shown(rows(alice, "users", limit=limit), "user_id") == summed(with_users, "user_id")


def test_whoever_is_limited_to_countries_sees_their_sums(people: People, orders: list[Any]) -> None:
    bob = people["bob"]
    own = [state for state in orders if state.country in ("DE", "AT")]
    assert shown(rows(bob, "days"), "day") == summed(own, "day")
    assert shown(rows(bob, "countries"), "country") == summed(own, "country")
    users = [state for state in own if state.user_id]
    assert shown(rows(bob, "users", limit=4), "user_id") == summed(users, "user_id")
    assert rows(bob, "days", country="FR") == []


def test_items_are_for_those_who_may_see_all_countries(people: People, orders: list[Any]) -> None:
    everywhere = client_of(make_user("eve", make_permitted("items-everywhere", is_regional=False)))
    regional = client_of(make_user("reg", make_permitted("items-regional", is_regional=True), countries=("DE",)))
    found = shown(rows(everywhere, "items", limit=3), "sku")
    gifts = summed(orders, sku="gift")
    assert {key[1:]: sums for key, sums in found.items() if key[0] == "gift"} == gifts
    assert {key[0] for key in found} == {"gift", *(f"i{number}" for number in range(7))}
    assert regional.get("/reports/items").status_code == 403
    assert people["alice"].get("/reports/items").status_code == 403
    assert people["charlie"].get("/reports/days").status_code == 403


def make_permitted(slug: str, *, is_regional: bool) -> Any:
    from django.contrib.auth.models import Permission

    role = make_role(slug, is_regional=is_regional)
    role.permissions.set(Permission.objects.filter(codename="view_itemsum"))
    return role


@pytest.mark.parametrize("window", [2, 2_000])
def test_filters(people: People, orders: list[Any], window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyset, "FIRST_WINDOW", window)
    alice = people["alice"]
    days = {"day__gte": "2026-03-03", "day__lt": "2026-03-05"}
    some = [state for state in orders if state.day in ("2026-03-03", "2026-03-04")]
    assert shown(rows(alice, "days", **days), "day") == summed(some, "day")
    users = [state for state in some if state.user_id and state.currency == "USD"]
    assert shown(rows(alice, "users", currency="USD", limit=2, **days), "user_id") == summed(users, "user_id")
    of_one = [state for state in orders if state.user_id == "u3"]
    assert shown(rows(alice, "users", user_id="u3"), "user_id") == summed(of_one, "user_id")
    french = [state for state in orders if state.country == "FR"]
    assert shown(rows(alice, "days", country="fr"), "day") == summed(french, "day")


def test_newest_days_come_first_and_both_directions_lead_back(people: People, orders: list[Any]) -> None:
    newest = [row["day"] for row in rows(people["alice"], "days", limit=3)]
    assert newest == sorted(newest, reverse=True)
    assert [row["day"] for row in rows(people["alice"], "days", ordering="day")] == newest[::-1]
    first = people["alice"].get("/reports/days?limit=4").json()
    second = people["alice"].get(first["next"]).json()
    assert people["alice"].get(second["previous"]).json()["results"] == first["results"]


@pytest.mark.parametrize(
    "query", ["day__gte=2026-3-4", "day__lt=yesterday", "currency=eur", "currency=EURO", "day=2026-03-04"]
)
def test_what_cannot_be_asked(people: People, query: str) -> None:
    assert people["alice"].get(f"/reports/days?{query}").status_code == 400


def test_rows_that_orders_have_left_are_not_shown(people: People) -> None:
    apply([event("o1", 1, country="DE")], now=NOW)
    apply([event("o1", 2, country="AT")], now=NOW)
    assert [row["country"] for row in rows(people["alice"], "countries")] == ["AT"]
