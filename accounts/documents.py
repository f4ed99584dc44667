"""Users, roles and regions as the API shows them."""

from typing import Any

from django.db.models import QuerySet

from accounts.models import Region, Role, User


def described_users() -> "QuerySet[User]":
    """Users with what `describe_user` needs."""
    return User.objects.prefetch_related("roles", "regions")


def describe_user(user: User) -> dict[str, Any]:
    """A user of `described_users`."""
    return {
        "id": user.pk,
        "name": user.name,
        "email": user.email,
        "age": user.age,
        "country": user.country,
        "is_active": user.is_active,
        "is_staff": user.is_staff,
        "is_superuser": user.is_superuser,
        "has_password": user.has_usable_password(),
        "roles": sorted(role.slug for role in user.roles.all()),
        "regions": sorted(region.slug for region in user.regions.all()),
        "version": user.version,
        "import_id": user.import_id,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    }


def described_roles() -> "QuerySet[Role]":
    """Roles with what `describe_role` needs."""
    return Role.objects.prefetch_related("permissions__content_type")


def describe_role(role: Role) -> dict[str, Any]:
    """A role of `described_roles`."""
    return {
        "slug": role.slug,
        "name": role.name,
        "is_importable": role.is_importable,
        "is_regional": role.is_regional,
        "permissions": sorted(f"{each.content_type.app_label}.{each.codename}" for each in role.permissions.all()),
        "version": role.version,
        "created_at": role.created_at,
        "updated_at": role.updated_at,
    }


def describe_region(region: Region) -> dict[str, Any]:
    """A region."""
    return {
        "slug": region.slug,
        "name": region.name,
        "countries": sorted(region.countries),
        "version": region.version,
        "created_at": region.created_at,
        "updated_at": region.updated_at,
    }
