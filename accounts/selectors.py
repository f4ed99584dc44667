"""Reading users, roles and regions."""

from typing import Any, Final

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Collate, Concat, Lower

from accounts.documents import described_users
from accounts.identities import scope_of
from accounts.models import Role, User

VIEW_ORDERS: Final = "orders.view_order"
VIEW_USERS: Final = "accounts.view_user"
FOUND_AT_MOST: Final = 1_000
LAST_CHARACTER: Final = "\U0010ffff"
# For each ordering the filters of which an index gives the rows in that order, the narrowest first.
INDEXED: Final = {"id": ("role", "country"), "email": (), "name": ("name",)}


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
    scope = scope_of(user)
    if permission not in scope.permissions:
        return frozenset()
    return scope.countries if permission in scope.regional else None


def users_visible(user: User) -> "QuerySet[User]":
    """The users whom somebody with the permission to view users may see, and themselves."""
    countries = visible_countries(user, permission=VIEW_USERS)
    users = users_with_names()
    return users if countries is None else users.filter(Q(country__in=countries) | Q(pk=user.pk))


def users_with_names() -> "QuerySet[User]":
    """Users with `name_key`, the name as it is sorted and searched: the expression of an index."""
    return described_users().annotate(name_key=Collate(Lower("name"), "C"))


def users_filtered(users: "QuerySet[User]", filters: dict[str, Any]) -> "QuerySet[User]":
    """
    Those users of a queryset for which all filters hold.

    Args:
        filters: email, name (a beginning), country, role (slug), q (the beginning of an id, e-mail or name).
    """
    for name, value in filters.items():
        users = users.filter(_condition(name, value))
    return users


def users_to_walk(filters: dict[str, Any], *, limited: bool, ordering: str) -> "QuerySet[User] | None":
    """
    The rows that a list with these filters has to look through; None: an index finds exactly those that are wanted.

    Args:
        limited: whether there is a limit to some countries, too.
        ordering: a key of INDEXED, with "-" before it for the other direction.
    """
    if "q" in filters or "email" in filters:
        return None
    usable = {name: filters[name] for name in INDEXED[ordering.removeprefix("-")] if name in filters}
    first = dict(list(usable.items())[:1])
    if first == filters and not limited:
        return None
    return users_filtered(users_ordered(users_with_names(), ordering), first)


def users_ordered(users: "QuerySet[User]", ordering: str) -> "QuerySet[User]":
    """Leave out those who have nothing to be sorted by, as the index does."""
    if ordering.endswith("email"):
        return users.filter(email__isnull=False)
    return users.exclude(name="") if ordering.endswith("name") else users


def _condition(name: str, value: str) -> Q:
    if name == "email":
        return Q(email=value.lower())
    if name == "country":
        return Q(country=value) & ~Q(country="")  # the index's own condition
    if name == "role":
        role = Role.objects.filter(slug=value).values_list("pk", flat=True).first()
        return Q(memberships__role=role) if role is not None else Q(pk__in=())
    if name == "name":
        return _name_begins(value)
    return Q(pk__in=_found(value))


def _name_begins(text: str) -> Q:
    beginning = Lower(Value(text))
    return Q(name_key__gte=beginning, name_key__lt=Concat(beginning, Value(LAST_CHARACTER))) & ~Q(name="")


def _found(text: str) -> "QuerySet[User, str]":
    """Each look-up reads its own index in its order, so it ends after FOUND_AT_MOST rows."""
    users = User.objects.annotate(name_key=Collate(Lower("name"), "C"))
    low = text.lower()
    by_id = users.filter(pk__gte=text, pk__lt=text + LAST_CHARACTER).order_by("pk")
    by_email = users.filter(email__gte=low, email__lt=low + LAST_CHARACTER).order_by("email")
    by_name = users.filter(_name_begins(text)).order_by("name_key", "pk")
    first, *others = (found.values_list("pk", flat=True)[:FOUND_AT_MOST] for found in (by_id, by_email, by_name))
    return first.union(*others)
