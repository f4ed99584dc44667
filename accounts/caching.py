"""
What of accounts is in the cache, and how to say that it changes: last in the transaction of the change.

A user or role is kept as the bytes of the answer behind one line `version U+001F country` (a role has no country).
Neither can hold a control character.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from knox.models import AuthToken
from rest_framework.renderers import JSONRenderer

from accounts.documents import describe_role, describe_user, described_roles, described_users
from accounts.identities import GENERATION
from config.kernel.caching import cached, mark_changed

USER: Final = "user"
ROLE: Final = "role"
SEPARATOR: Final = "\x1f"
AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Rendered:
    """The body of an answer, with its version and the country of the user."""

    version: int
    country: str
    body: bytes


def parse(value: bytes) -> Rendered:
    """Read what the cache holds of a user or role."""
    head, _, body = value.partition(b"\n")
    version, _, country = head.decode().partition(SEPARATOR)
    return Rendered(int(version), country, body)


def role_rendered(slug: str) -> Rendered | None:
    """A role, from the cache or from Postgres; None: there is none."""
    value = cached(ROLE, slug, lambda: load_role(slug))
    return None if value is None else parse(value)


def load_user(user_id: str) -> bytes | None:
    """What the cache is to hold of a user."""
    user = described_users().filter(pk=user_id).first()
    return None if user is None else _render(describe_user(user), country=user.country)


def load_role(slug: str) -> bytes | None:
    """What the cache is to hold of a role."""
    role = described_roles().filter(slug=slug).first()
    return None if role is None else _render(describe_role(role), country="")


def _render(document: dict[str, Any], *, country: str) -> bytes:
    return f"{document['version']}{SEPARATOR}{country}\n".encode() + JSONRenderer().render(document)


def users_changed(ids: Iterable[str]) -> None:
    """
    These users change, or what they may do: attributes, flags, roles, regions.

    Call it after the rows are written (and so locked), in their transaction: a token that is made meanwhile waits for
    the lock. Users that are new need no call.
    """
    remaining = iter(ids)
    while batch := list(islice(remaining, AT_ONCE)):
        mark_changed(USER, batch)
        tokens_changed(AuthToken.objects.filter(user_id__in=batch).values_list("digest", flat=True))


def tokens_changed(digests: Iterable[str]) -> None:
    """These tokens are revoked."""
    mark_changed("token", digests)


def roles_changed(slugs: Sequence[str]) -> None:
    """These roles change; everybody's permissions are read anew."""
    mark_changed(ROLE, slugs)
    authority_changed()


def authority_changed() -> None:
    """What many users may do changes: the permissions of a role, the countries of a region."""
    kind, key = GENERATION
    mark_changed(kind, [key])
