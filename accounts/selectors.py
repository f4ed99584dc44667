"""Reading users, roles and regions."""

from accounts.identities import load_scope, remember_scope
from accounts.models import User

VIEW_ORDERS = "orders.view_order"


def visible_countries(user: User, *, permission: str = VIEW_ORDERS) -> frozenset[str] | None:
    """
    The countries that a permission of this user is limited to; None: it holds everywhere.

    A permission that only regional roles grant holds for the countries of the user's regions; one that any other
    role grants, too, holds everywhere. Who does not have it sees nothing.

    Args:
        permission: what is about to be done, such as "orders.change_order".
    """
    if user.is_superuser:
        return None
    scope = user.scope
    if scope is None:
        scope = load_scope(user.pk)
        remember_scope(user, scope)
    if permission not in scope.permissions:
        return frozenset()
    return scope.countries if permission in scope.regional else None
