"""Roles, and who has them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction

from accounts.caching import roles_changed, users_changed
from accounts.errors import RoleExistsError, RoleInUseError, UnknownPermissionError, UnknownRoleError
from accounts.models import Role, RoleMembership, User
from accounts.powers import require_current, require_nothing_gained, require_permissions
from accounts.services.locking import Expect, any_version, role_locked, user_locked

ATTRIBUTES: Final = ("name", "is_importable", "is_regional")


def role_create(*, slug: str, attributes: Mapping[str, Any], actor: User | None = None, now: datetime) -> Role:
    """
    Make a role.

    Args:
        attributes: some of ATTRIBUTES, and `permissions`: names such as "orders.view_order".
        now: timezone-aware UTC.
    Raises:
        RoleExistsError, UnknownPermissionError, MoreThanYouHaveError.
    """
    permissions = permissions_named(attributes.get("permissions", ()))
    role = Role(slug=slug, created_at=now, updated_at=now)
    for name in ATTRIBUTES:
        setattr(role, name, attributes.get(name, getattr(role, name)))
    try:
        with transaction.atomic():
            require_current(actor, permission="accounts.add_role")
            require_permissions(actor, permissions)
            role.save(force_insert=True)
            role.permissions.set(permissions.values())
    except IntegrityError as error:
        raise RoleExistsError(slug=slug) from error
    return role


def role_update(
    *, slug: str, attributes: Mapping[str, Any], actor: User | None = None, expect: Expect = any_version, now: datetime
) -> Role:
    """
    Change a role; what it grants changes for everybody who has it, at once.

    Raises:
        RoleNotFoundError, UnknownPermissionError, MoreThanYouHaveError; and what `expect` raises.
    """
    with transaction.atomic():
        role = role_locked(slug)
        require_current(actor, permission="accounts.change_role")
        expect(role.version)
        before = permission_names(role)
        wanted = permissions_named(attributes["permissions"]) if "permissions" in attributes else None
        require_permissions(actor, before | set(wanted or ()))
        changed = [name for name in ATTRIBUTES if name in attributes and getattr(role, name) != attributes[name]]
        if not changed and (wanted is None or set(wanted) == before):
            return role
        for name in changed:
            setattr(role, name, attributes[name])
        if wanted is not None:
            role.permissions.set(wanted.values())
        role_touched(role, now=now)
    return role


def role_touched(role: Role, *, now: datetime) -> None:
    """Write a changed role as its next version, and tell the cache; in the transaction of the change."""
    role.version += 1
    role.updated_at = now
    role.save()
    roles_changed([role.slug])


def role_delete(*, slug: str, actor: User | None = None, expect: Expect = any_version) -> None:
    """
    Delete a role that nobody has.

    Raises:
        RoleNotFoundError, RoleInUseError, MoreThanYouHaveError; and what `expect` raises.
    """
    with transaction.atomic():
        role = role_locked(slug)
        require_current(actor, permission="accounts.delete_role")
        expect(role.version)
        require_permissions(actor, permission_names(role))
        if role.memberships.exists():
            raise RoleInUseError(slug=slug)
        role.delete()
        roles_changed([slug])


def role_assign(*, user_id: str, slug: str, actor: User | None = None) -> bool:
    """
    Give a user a role. One that an import gave becomes one that a person gave, so that no file changes this user again.

    Returns:
        whether the user did not have it.
    Raises:
        UserNotFoundError, UnknownRoleError, MorePowerfulUserError, MoreThanYouHaveError.
    """
    with transaction.atomic():
        user = user_locked(user_id, actor=actor)
        role = Role.objects.filter(slug=slug).first()
        if role is None:
            raise UnknownRoleError(slug=slug)
        membership, made = RoleMembership.objects.get_or_create(user=user, role=role)
        if membership.import_id is not None:
            membership.import_id = None
            membership.save(update_fields=["import_id"])
        require_nothing_gained(actor, user)
        users_changed([user_id])
    return made


def role_revoke(*, user_id: str, slug: str, actor: User | None = None) -> None:
    """Take a role from a user, who may not have it. Raises UserNotFoundError, MorePowerfulUserError."""
    with transaction.atomic():
        user = user_locked(user_id, actor=actor)
        RoleMembership.objects.filter(user=user, role__slug=slug).delete()
        users_changed([user_id])


def permission_names(role: Role) -> set[str]:
    """What a role grants."""
    rows = role.permissions.values_list("content_type__app_label", "codename")
    return {f"{app_label}.{codename}" for app_label, codename in rows}


def permissions_named(names: Iterable[str]) -> dict[str, Permission]:
    """Permissions by name, "orders.view_order". Raises UnknownPermissionError."""
    wanted = {name: name.partition(".") for name in names}
    rows = Permission.objects.filter(codename__in=[codename for _, _, codename in wanted.values()])
    known = {f"{row.content_type.app_label}.{row.codename}": row for row in rows.select_related("content_type")}
    unknown = sorted(wanted.keys() - known.keys())
    if unknown:
        raise UnknownPermissionError(names=unknown)
    return {name: known[name] for name in wanted}
