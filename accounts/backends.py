"""What a user may do: the permissions of their roles."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.logins import count_attempt
from accounts.models import User


class RoleBackend(ModelBackend):
    """Django's own backend, with roles in the place of groups; nobody has permissions of their own."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Check e-mail (in any case) and password; too many attempts are refused unseen."""
        email = (username or kwargs.get("email") or "").strip().lower()
        if request is not None and count_attempt(request, email=email) is not None:
            raise PermissionDenied
        # U+0000 would be an error in Postgres, not a wrong e-mail.
        if not email or "\x00" in email:
            return None
        return super().authenticate(request, username=email, password=password)

    def _get_user_permissions(self, user_obj: Any) -> "QuerySet[Permission]":
        return Permission.objects.none()

    def _get_group_permissions(self, user_obj: Any) -> "QuerySet[Permission]":
        return Permission.objects.filter(roles__users=user_obj).distinct()
