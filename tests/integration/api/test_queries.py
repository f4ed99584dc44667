"""Parameters of addresses: a misspelt filter that is ignored shows more than was asked for."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from rest_framework.test import APIClient

from accounts.endpoints import endpoints
from accounts.models import User
from accounts.services import token_create

pytestmark = pytest.mark.django_db

WHOLE_LISTS: Final = {"/profiles"}  # without pages
SAMPLES: Final = {"int": "999999999", "uuid": "01234567-89ab-cdef-0123-456789abcdef"}


def lists() -> list[str]:
    """Addresses of all lists, for ids that do not exist: what is asked is checked before what it is asked of."""
    paths = [
        endpoint.path
        for endpoint in endpoints()
        if endpoint.method == "GET" and (hasattr(endpoint.view, "orderings") or endpoint.path in WHOLE_LISTS)
    ]
    return [re.sub(r"<(?:(\w+):)?\w+>", lambda match: SAMPLES.get(match[1], "none-such"), path) for path in paths]


@pytest.fixture
def client() -> APIClient:
    """Of somebody who may ask everything."""
    boss = User.objects.create_superuser("boss", email="boss@example.com")
    client = APIClient()
    client.credentials(
        HTTP_AUTHORIZATION=f"Bearer {token_create(user=boss, ttl=timedelta(hours=1), now=datetime.now(UTC))[1]}"
    )
    return client


def errors(response: Any) -> dict[str, str]:
    return {error["field"]: error["code"] for error in response.json().get("errors", [])}


def test_every_list_is_tried() -> None:
    found = {path.split("/")[-1] for path in lists()}
    assert found >= {
        "users",
        "roles",
        "regions",
        "tokens",
        "orders",
        "lines",
        "items",
        "uploads",
        "imports",
        "profiles",
    }
    assert found >= {"rejects", "chunks", "disagreements"}


def test_unknown_parameters_are_refused_by_every_list(client: APIClient) -> None:
    for path in lists():
        response = client.get(f"{path}?nonsense=1&limit=5" if path not in WHOLE_LISTS else f"{path}?nonsense=1")
        assert (path, response.status_code, errors(response)) == (path, 400, {"nonsense": "unknown_field"})


def test_format_and_pages_are_known_to_every_list(client: APIClient) -> None:
    for path in lists():
        pages = "" if path in WHOLE_LISTS else "&limit=5"
        response = client.get(f"{path}?format=json{pages}")
        assert response.status_code in (200, 404), (path, response.content)
        assert errors(response) == {}, path


def test_pages_are_unknown_where_there_are_none(client: APIClient) -> None:
    assert errors(client.get("/profiles?limit=5")) == {"limit": "unknown_field"}
    assert errors(client.delete("/tokens/0123456789abcde?cursor=x")) == {"cursor": "unknown_field"}
    assert errors(client.post("/imports?limit=5", {}, format="json")) == {"limit": "unknown_field"}
