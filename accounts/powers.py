"""
Nobody gives what they do not have, and nobody changes somebody who may do more.

Every change of a user is judged twice, under the user's lock: what the user could do before, and what the user can do
after it. Both must lie within what the acting person may do, by what is stored now: a request may have waited since it
was let in, for its body or for a lock.
"""

from collections.abc import Iterable

from accounts.errors import (
    LimitedToRegionsError,
    MorePowerfulUserError,
    MoreThanYouHaveError,
    NoLongerAllowedError,
    OutsideRegionError,
    SuperusersOnlyError,
    UserNotFoundError,
)
from accounts.identities import Scope, load_scope, remember_scope, scope_of
from accounts.models import Role, User
from accounts.selectors import visible_countries


def lacking(own: Scope, other: Scope) -> set[str]:
    """What `other` has beyond `own`: permissions, and countries as "orders.view_order in Norway"."""
    missing = set(other.everywhere - own.everywhere) | set(other.regional - own.permissions)
    shared = other.regional & own.regional
    if shared:
        missing |= {f"{name} in {country}" for name in shared for country in other.countries - own.countries}
    return missing


def require_current(actor: User | None, *, permission: str | None = None) -> None:
    """
    Read anew who the acting person is and what they may do, for all that is judged afterwards.

    Call it in the transaction of a change, after its locks and before anything changes.

    Args:
        actor: None: a command or a program of ours.
        permission: what they must still have.
    Raises:
        NoLongerAllowedError: they are not active any more, or lack it.
    """
    if actor is None:
        return
    stored = User.objects.filter(pk=actor.pk, is_active=True).values("is_staff", "is_superuser").first()
    if stored is None:
        raise NoLongerAllowedError
    actor.is_staff, actor.is_superuser = stored["is_staff"], stored["is_superuser"]
    scope = load_scope(actor.pk)
    remember_scope(actor, scope)
    if permission is not None and not actor.is_superuser and permission not in scope.permissions:
        raise NoLongerAllowedError


def require_power_over(actor: User | None, user: User) -> None:
    """
    Refuse to change a user who may do more than the acting person. A person always has power over themselves.

    Args:
        actor: None: a command or a program of ours, which may do everything.
        user: as stored, locked.
    """
    if actor is None or actor.is_superuser:
        return
    own = scope_of(actor)  # also of those who change themselves: afterwards it would be too late to ask
    if actor.pk == user.pk:
        return
    if user.is_superuser:
        raise SuperusersOnlyError
    if (user.is_staff and not actor.is_staff) or lacking(own, load_scope(user.pk)):
        raise MorePowerfulUserError(user_id=user.pk)


def has_power_over(actor: User, user: User) -> bool:
    """Whether `require_power_over` lets pass."""
    try:
        require_power_over(actor, user)
    except (SuperusersOnlyError, MorePowerfulUserError):
        return False
    return True


def grantable(actor: User) -> list[int]:
    """Ids of the roles that hold nothing beyond what the person may do; for lists to choose from."""
    if actor.is_superuser:
        return list(Role.objects.values_list("pk", flat=True))
    own = scope_of(actor)
    roles = Role.objects.prefetch_related("permissions__content_type")
    return [role.pk for role in roles if _names(role) <= (own.permissions if role.is_regional else own.everywhere)]


def _names(role: Role) -> set[str]:
    return {f"{each.content_type.app_label}.{each.codename}" for each in role.permissions.all()}


def require_nothing_gained(actor: User | None, user: User) -> None:
    """Refuse a change after which the user may do what the acting person may not; call it after the change."""
    if actor is None or actor.is_superuser:
        return
    # What the person came with counts, not what they may have given themselves just now.
    missing = lacking(scope_of(actor), load_scope(user.pk))
    if missing:
        raise MoreThanYouHaveError(missing=_listed(missing))


def require_permissions(actor: User | None, permissions: Iterable[str]) -> None:
    """Refuse to put into a role, or to change a role that has, what the acting person may not do everywhere."""
    if actor is None or actor.is_superuser:
        return
    missing = set(permissions) - scope_of(actor).everywhere
    if missing:
        raise MoreThanYouHaveError(missing=_listed(missing))


def require_no_limits(actor: User | None) -> None:
    """Refuse people whose own roles are limited to regions."""
    if actor is not None and not actor.is_superuser and scope_of(actor).regional:
        raise LimitedToRegionsError


def require_reach(actor: User | None, user: User, *, permission: str) -> None:
    """Refuse a user whom this permission of the acting person does not reach, as if there were no such user."""
    if not reaches(actor, user.country, permission=permission):
        raise UserNotFoundError(user_id=user.pk)


def require_country(actor: User | None, country: str, *, permission: str) -> None:
    """Refuse to put a user into a country that this permission of the acting person does not reach."""
    if not reaches(actor, country, permission=permission):
        raise OutsideRegionError(country=country)


def reaches(actor: User | None, country: str, *, permission: str) -> bool:
    """Whether a permission of this person holds for users of a country."""
    countries = None if actor is None else visible_countries(actor, permission=permission)
    return countries is None or country in countries


def _listed(names: set[str], at_most: int = 5) -> str:
    some = sorted(names)[:at_most]
    return ", ".join(some) + (f" and {len(names) - at_most} more" if len(names) > at_most else "")
