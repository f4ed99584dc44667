"""
Named people, with roles made for the tests: Alice manages orders everywhere, Bob those of Germany and Austria, Carol
is a customer, Charlie an outsider without any role.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Permission
from rest_framework.test import APIClient

from accounts.models import Region, Role, User
from accounts.services.tokens import token_create

NOW = datetime(2026, 3, 4, 9, 12, tzinfo=UTC)
ALL_ORDERS = ("view_order", "add_order", "change_order", "view_item", "add_item", "change_item")


def make_role(slug: str, *codenames: str, is_regional: bool = False) -> Role:
    """A role with permissions of orders."""
    role = Role.objects.create(slug=slug, name=slug, is_regional=is_regional)
    role.permissions.set(Permission.objects.filter(content_type__app_label="orders", codename__in=codenames))
    return role


def make_user(user_id: str, *roles: Role, countries: tuple[str, ...] = ()) -> User:
    """A user with roles; with countries, a region of their own."""
    user = User.objects.create_user(user_id, email=f"{user_id}@example.com", name=user_id.title())
    for role in roles:
        user.memberships.create(role=role)
    if countries:
        user.regions.add(Region.objects.create(slug=f"of-{user_id}", name=user_id, countries=list(countries)))
    return user


def token_of(user: User) -> str:
    """A bearer token."""
    return token_create(user=user, ttl=timedelta(hours=1), now=datetime.now(UTC))[1]


def client_of(user: User) -> APIClient:
    """Asks with a bearer token."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(user)}")
    return client


class People:
    """Everybody, made when first asked for."""

    def __init__(self) -> None:
        manager = make_role("orders-everywhere", *ALL_ORDERS)
        regional = make_role("orders-regional", *ALL_ORDERS, is_regional=True)
        self.alice = make_user("alice", manager)
        self.bob = make_user("bob", regional, countries=("DE", "AT"))
        self.carol = make_user("carol")
        self.charlie = make_user("charlie")
        self._clients: dict[str, APIClient] = {}

    def __getitem__(self, name: str) -> APIClient:
        if name not in self._clients:
            self._clients[name] = client_of(getattr(self, name))
        return self._clients[name]


def placed(people: People, order_id: str = "o553", **body: Any) -> Any:
    """An order of Carol's that Alice has placed."""
    wanted = {"id": order_id, "item": "Shoes", "quantity": 2, "user_id": "carol", **body}
    if "lines" in wanted:
        del wanted["item"], wanted["quantity"]
    response = people["alice"].post("/orders", wanted)
    assert response.status_code == 201, response.content
    return response
