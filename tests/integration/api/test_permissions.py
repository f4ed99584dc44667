"""
Every endpoint × every role × every method: 401 without a token, 403 without the permission, neither with it.

It walks over the URL patterns, so an endpoint that somebody adds is tried, too.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from django.contrib.auth.models import Permission
from rest_framework.permissions import BasePermission
from rest_framework.test import APIClient

from accounts.endpoints import METHODS, Endpoint, endpoints, permission_table, routes
from accounts.models import Region, Role, RoleMembership, User
from accounts.services import token_create
from config.kernel.api.permissions import PUBLIC, SIGNED_IN, RolePermission

pytestmark = pytest.mark.django_db

DOCUMENT: Final = Path(__file__).resolve().parents[3] / "docs/permissions.md"
ROLES: Final = ("admin", "account-manager", "regional-manager", "integrator", None)
OPEN_TO_ALL: Final = {"/schema", "/docs"}
SAMPLES: Final = {
    "key": "none-such",
    "slug": "none-such",
    "str": "none-such",
    "int": "999999999",
    "uuid": "01234567-89ab-cdef-0123-456789abcdef",
}


def address(path: str) -> str:
    """A path pattern with something in it that does not exist."""
    return re.sub(r"<(?:(\w+):)?\w+>", lambda match: SAMPLES[match[1] or "str"], path)


def client_of(role: str | None) -> APIClient:
    user = User.objects.create_user(f"with-{role}", email=f"with-{role}@example.com", name="Somebody")
    if role is not None:
        RoleMembership.objects.create(user=user, role=Role.objects.get(slug=role))
    user.regions.add(Region.objects.get_or_create(slug="north", name="North", countries=["Norway"])[0])
    _, token = token_create(user=user, ttl=timedelta(hours=1), now=datetime.now(UTC))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def ask(client: APIClient, method: str, path: str) -> Any:
    body: dict[str, Any] = {} if method in ("GET", "HEAD") else {"data": "{}", "content_type": "application/json"}
    return client.generic(method, address(path), **body)


def role_grants(role: str | None, permission: str) -> bool:
    app_label, _, codename = permission.partition(".")
    granted = Permission.objects.filter(codename=codename, content_type__app_label=app_label)
    assert granted.exists(), f"there is no permission {permission}"
    return granted.filter(roles__slug=role).exists()


def expected(endpoint: Endpoint, role: str | None) -> bool | None:
    """Whether this role may; None: everybody who is signed in gets to the view, which then decides."""
    if endpoint.needs in (PUBLIC, SIGNED_IN):
        return None
    return endpoint.needs is not None and role_grants(role, endpoint.needs)


def test_every_address_is_an_endpoint_the_admin_or_open_on_purpose() -> None:
    others = {path for path, view in routes() if not hasattr(view, "permissions")}
    assert {path for path in others if not path.startswith("/admin/")} == OPEN_TO_ALL


def test_every_method_says_what_it_needs() -> None:
    assert [(each.path, each.method) for each in endpoints() if each.needs is None] == []


def test_nothing_is_said_of_methods_that_a_view_does_not_have() -> None:
    for path, view in routes():
        for method in getattr(view, "permissions", {}):
            assert method in METHODS, path
            assert hasattr(view, method.lower()), f"{method} {path}"


def test_views_keep_the_class_that_enforces_it() -> None:
    for path, view in routes():
        if hasattr(view, "permissions"):
            classes: list[type[BasePermission]] = view.permission_classes
            assert any(issubclass(each, RolePermission) for each in classes), path


def test_without_a_token() -> None:
    wrong = []
    for endpoint in endpoints():
        for method in (endpoint.method, *(["HEAD"] if endpoint.method == "GET" else [])):
            answer = ask(APIClient(), method, endpoint.path)
            # Signing in is for those who have no token; without anything in the body it is a bad request.
            wanted = 400 if endpoint.needs == PUBLIC else 401
            if answer.status_code != wanted or (wanted == 401 and answer.get("WWW-Authenticate") != "Bearer"):
                wrong.append((method, endpoint.path, answer.status_code))
    assert wrong == []


@pytest.mark.parametrize("role", ROLES)
def test_role(role: str | None) -> None:
    client = client_of(role)
    wrong = []
    for endpoint in endpoints():
        for method in (endpoint.method, *(["HEAD"] if endpoint.method == "GET" else [])):
            answer = ask(client, method, endpoint.path)
            may = expected(endpoint, role)
            refused = answer.status_code in (401, 403)
            if answer.status_code >= 500 or answer.status_code == 401 or (may is not None and refused == may):
                wrong.append((method, endpoint.path, endpoint.needs, answer.status_code))
    assert wrong == []


def test_methods_that_a_view_does_not_have() -> None:
    client = client_of("admin")
    wrong = []
    for path, view in routes():
        for method in METHODS:
            if hasattr(view, "permissions") and not hasattr(view, method.lower()):
                answer = ask(client, method, path)
                if answer.status_code not in (404, 405):
                    wrong.append((method, path, answer.status_code))
    assert wrong == []


def test_documented_table_is_what_the_code_says() -> None:
    """Mend the document with `manage.py permission_table`."""
    assert permission_table() in DOCUMENT.read_text(encoding="utf-8")
