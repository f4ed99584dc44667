"""Taking the row that is about to change."""

from collections.abc import Callable

from accounts.errors import RegionNotFoundError, RoleNotFoundError, UserNotFoundError
from accounts.models import Region, Role, User
from accounts.powers import require_current, require_power_over, require_reach

Expect = Callable[[int], None]
"""Is called with the version of the locked row; raises if the caller has seen another."""

CHANGE_USER = "accounts.change_user"


def any_version(_version: int) -> None:
    """Expects nothing."""


def user_locked(user_id: str, *, actor: User | None, permission: str = CHANGE_USER) -> User:
    """
    The user, locked until the transaction ends, if the actor may change them.

    The lock also keeps tokens, roles and orders of this user from being made, so that what is marked in the cache after
    the change is all there is.

    Raises:
        UserNotFoundError, MorePowerfulUserError, SuperusersOnlyError, NoLongerAllowedError.
    """
    user = User.objects.select_for_update().filter(pk=user_id).first()
    if user is None:
        raise UserNotFoundError(user_id=user_id)
    require_current(actor)
    require_reach(actor, user, permission=permission)
    require_power_over(actor, user)
    return user


def role_locked(slug: str) -> Role:
    """The role, locked; nobody is given it meanwhile. Raises RoleNotFoundError."""
    role = Role.objects.select_for_update().filter(slug=slug).first()
    if role is None:
        raise RoleNotFoundError(slug=slug)
    return role


def region_locked(slug: str) -> Region:
    """The region, locked; it is assigned to nobody meanwhile. Raises RegionNotFoundError."""
    region = Region.objects.select_for_update().filter(slug=slug).first()
    if region is None:
        raise RegionNotFoundError(slug=slug)
    return region
