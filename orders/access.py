"""Whose orders somebody may see and change."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from django.contrib.auth.models import AnonymousUser

from accounts.identities import Identity
from accounts.models import User
from accounts.selectors import visible_countries

VIEW: Final = "orders.view_order"
ADD: Final = "orders.add_order"
CHANGE: Final = "orders.change_order"


@dataclass(frozen=True, slots=True)
class Access:
    """
    What one person may do with orders, told by the orders' countries.

    `reads` and `writes` are sets of countries; None means everywhere, an empty set nowhere. One's own orders can always
    be read.
    """

    user_id: str
    reads: frozenset[str] | None
    writes: frozenset[str] | None

    def may_read(self, *, country: str, user_id: str | None) -> bool:
        """Whether an order of this country and user is to be seen."""
        return self.reads is None or country in self.reads or user_id == self.user_id

    def may_write(self, *, country: str) -> bool:
        """Whether orders of this country may be placed or changed."""
        return self.writes is None or country in self.writes


EVERYWHERE: Final = Access(user_id="", reads=None, writes=None)
"""For commands and programs of ours that act for nobody."""

NOWHERE: Final = Access(user_id="", reads=frozenset(), writes=frozenset())
"""For somebody who is not signed in."""


def access_of(user: User | AnonymousUser, *, writing: str | None = None) -> Access:
    """
    What a user's roles allow; asks no database when the user came with a token.

    Args:
        writing: the permission for what is about to be done, ADD or CHANGE; None: only reading.
    """
    if not isinstance(user, User):
        return NOWHERE
    writes = visible_countries(user, permission=writing) if writing else frozenset()
    return Access(user_id=user.pk, reads=visible_countries(user, permission=VIEW), writes=writes)


@lru_cache(maxsize=4096)
def access_of_identity(identity: Identity) -> Access:
    """What the owner of a token may see. Remembered, because an identity says all that it depends on."""
    return access_of(identity.as_user())
