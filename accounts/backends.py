"""What a user may do: the permissions of their roles."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Permission
from django.db.models import QuerySet


class RoleBackend(ModelBackend):
    """Django's own backend, with roles in the place of groups; nobody has permissions of their own."""

    def _get_user_permissions(self, user_obj: Any) -> "QuerySet[Permission]":
        return Permission.objects.none()

    def _get_group_permissions(self, user_obj: Any) -> "QuerySet[Permission]":
        return Permission.objects.filter(roles__users=user_obj).distinct()
