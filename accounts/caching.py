"""What of accounts is in the cache, and how to say that it changes: last in the transaction of the change."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from knox.models import AuthToken

from accounts.identities import GENERATION
from config.kernel.caching import mark_changed

AT_ONCE: Final = 5_000


def users_changed(ids: Iterable[str]) -> None:
    """
    These users change, or what they may do: attributes, flags, roles, regions.

    Call it after the rows are written (and so locked), in their transaction: a token that is made meanwhile waits for
    the lock. Users that are new need no call.
    """
    remaining = iter(ids)
    while batch := list(islice(remaining, AT_ONCE)):
        mark_changed("user", batch)
        tokens_changed(AuthToken.objects.filter(user_id__in=batch).values_list("digest", flat=True))


def tokens_changed(digests: Iterable[str]) -> None:
    """These tokens are revoked."""
    mark_changed("token", digests)


def roles_changed(slugs: Sequence[str]) -> None:
    """These roles change; everybody's permissions are read anew."""
    mark_changed("role", slugs)
    authority_changed()


def authority_changed() -> None:
    """What many users may do changes: the permissions of a role, the countries of a region."""
    kind, key = GENERATION
    mark_changed(kind, [key])
