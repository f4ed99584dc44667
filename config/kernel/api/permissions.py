"""Which permission a request needs, written down at the view, so that a test can walk over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission

if TYPE_CHECKING:  # rest_framework.views imports this module for its defaults
    from rest_framework.request import Request
    from rest_framework.views import APIView

SIGNED_IN: Final = ""
"""Any authenticated person or program; the view itself limits what they see (their own uploads and imports)."""

PUBLIC: Final = "public"
"""Anybody, signed in or not."""


class RolePermission(BasePermission):
    """
    Enforces `view.permissions`: HTTP method → permission ("orders.add_order"), SIGNED_IN or PUBLIC.

    A method that is not named there is refused to everybody, so a forgotten entry cannot open an endpoint.
    """

    message = "None of your roles grants this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        needed = required_permission(view, str(request.method))
        if needed == PUBLIC:
            return True
        if not request.user.is_authenticated:
            return False
        if getattr(view, str(request.method).lower(), None) is None:
            raise MethodNotAllowed(str(request.method))
        if request.method == "OPTIONS":
            return True
        return needed is not None and (needed == SIGNED_IN or request.user.has_perm(needed))


def required_permission(view: Any, method: str) -> str | None:
    """The permission that a method of a view needs; None: nobody may. HEAD needs what GET does."""
    permissions: dict[str, str] = getattr(view, "permissions", {})
    return permissions.get("GET" if method == "HEAD" else method)
