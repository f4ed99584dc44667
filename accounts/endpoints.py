"""Every endpoint of the API with what it needs, read from the URL patterns: for docs/permissions.md and its tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import Role
from config.kernel.api.permissions import PUBLIC, SIGNED_IN

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
WORDS: Final = {SIGNED_IN: "signed in", PUBLIC: "nothing", None: "nobody may"}
# Where everybody sees what is their own: the beginning of the path, and what shows that of others, too.
BEYOND_OWN: Final = {
    ("/users/<key:id>/password", "PUT"): "accounts.change_user",
    ("/users/", "GET"): "accounts.view_user",
    ("/tokens", "GET"): "accounts.change_user",
    ("/tokens", "POST"): "accounts.change_user",
    ("/tokens", "DELETE"): "accounts.change_user",
    ("/orders", "GET"): "orders.view_order",
    ("/imports", "GET"): "ingestion.view_import",
    ("/imports", "POST"): "ingestion.change_import",
    ("/uploads", "GET"): "ingestion.view_import",
}
LIMITED_BY_REGION: Final = ("_user", "_order")
YES: Final = "✓"
IN_REGIONS: Final = "regions"
OWN: Final = "own"
NO: Final = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method of an address; `needs` is None where the view has the method and says nothing of it."""

    path: str
    method: str
    needs: str | None
    view: Any


def routes() -> Iterator[tuple[str, Any]]:
    """Path patterns with their views (classes, or functions that are none of DRF's)."""
    yield from _walk(get_resolver().url_patterns, "/")


def endpoints() -> list[Endpoint]:
    """All endpoints of views that name permissions, by path."""
    found = []
    for path, view in routes():
        if not hasattr(view, "permissions"):
            continue
        given = [method for method in METHODS if hasattr(view, method.lower())]
        found += [Endpoint(path, method, view.permissions.get(method), view) for method in given]
    return sorted(found, key=lambda each: (each.path, METHODS.index(each.method)))


def permission_table() -> str:
    """The endpoints and the roles as a table in Markdown."""
    roles = list(Role.objects.order_by("pk").prefetch_related("permissions__content_type"))
    head = ["endpoint", "method", "needs", *(role.slug for role in roles)]
    rows = [head, ["---", "---", "---", *(":-:" for _ in roles)]]
    for endpoint in endpoints():
        needs = WORDS.get(endpoint.needs, f"`{endpoint.needs}`")
        cells = [_cell(endpoint, role) for role in roles]
        rows.append([f"`{endpoint.path}`", endpoint.method, needs, *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(endpoint: Endpoint, role: Role) -> str:
    granted = {f"{each.content_type.app_label}.{each.codename}" for each in role.permissions.all()}
    if endpoint.needs == PUBLIC:
        return YES
    if endpoint.needs == SIGNED_IN:
        return _granted(beyond_own(endpoint), granted, role) or OWN
    return _granted(endpoint.needs, granted, role)


def beyond_own(endpoint: Endpoint) -> str | None:
    """The permission to which an endpoint for everybody's own shows what is others'; None: there is none."""
    for (beginning, method), permission in BEYOND_OWN.items():
        if endpoint.method == method and endpoint.path.startswith(beginning):
            return permission
    return None


def _granted(permission: str | None, granted: set[str], role: Role) -> str:
    if permission is None or permission not in granted:
        return NO
    return IN_REGIONS if role.is_regional and permission.endswith(LIMITED_BY_REGION) else YES


def _walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        elif pattern.callback is not None:
            view: Any = pattern.callback
            yield path, getattr(view, "cls", getattr(view, "view_class", view))
