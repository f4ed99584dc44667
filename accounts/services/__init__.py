"""
Changing users, roles, regions and tokens.

Every service owns its transaction, locks the row it changes first, and marks the cache last. `actor` is the person who
does it, and is judged by `accounts.powers`; None is a command or program of ours. `expect` is called with the locked
row's version and raises if that is not what the caller has seen.
"""

from accounts.services.passwords import password_change, password_set
from accounts.services.regions import region_create, region_delete, region_update
from accounts.services.roles import role_assign, role_create, role_delete, role_revoke, role_update
from accounts.services.tokens import token_create, token_revoke
from accounts.services.users import region_assign, region_take, user_create, user_delete, user_update

__all__ = [
    "password_change",
    "password_set",
    "region_assign",
    "region_create",
    "region_delete",
    "region_take",
    "region_update",
    "role_assign",
    "role_create",
    "role_delete",
    "role_revoke",
    "role_update",
    "token_create",
    "token_revoke",
    "user_create",
    "user_delete",
    "user_update",
]
