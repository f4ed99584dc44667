"""Alice may do everything, Bob manages accounts, Charlie is signed in and has no role."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import Role, RoleMembership, User
from accounts.services import token_create
from config.kernel import caching

Person = Callable[..., User]
Client = Callable[[User], APIClient]


@pytest.fixture(autouse=True)
def _own_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "breaker", caching.Breaker())


@pytest.fixture
def person(db: None) -> Person:
    """Makes somebody: `person("bob", "account-manager", country="Norway")`."""

    def make(user_id: str, *roles: str, **attributes: Any) -> User:
        user = User.objects.create_user(user_id, email=f"{user_id}@example.com", name=user_id.title())
        for name, value in attributes.items():
            setattr(user, name, value)
        user.save()
        for slug in roles:
            RoleMembership.objects.create(user=user, role=Role.objects.get(slug=slug))
        return User.objects.get(pk=user_id)

    return make


@pytest.fixture
def alice(person: Person) -> User:
    return person("alice", "admin")


@pytest.fixture
def bob(person: Person) -> User:
    return person("bob", "account-manager")


@pytest.fixture
def charlie(person: Person) -> User:
    return person("charlie")


@pytest.fixture
def client_of() -> Client:
    """A client with a token of this person."""

    def make(user: User) -> APIClient:
        _, token = token_create(user=user, ttl=timedelta(hours=1), now=datetime.now(UTC))
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        return client

    return make


@pytest.fixture
def admin(client_of: Client, alice: User) -> APIClient:
    """Alice's client."""
    return client_of(alice)
