"""
Token → who asks and what they may do, so that a request with a known token costs no query.

Two entries of the cache say it: the identity under the token's digest, and the *generation*, a random text that changes
whenever a role's permissions or a region's countries do. An identity counts only under the generation it was loaded in.
What concerns one user (flags, roles, regions, revoked tokens) marks that user's identities; see `accounts.caching`.
"""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hmac import compare_digest
from typing import Any, Final

from knox.models import AuthToken

from accounts.models import Role, User
from config.kernel import caching
from config.kernel.caching import DOUBT, VALUE, cache_key, fill, read_many

USER_FIELDS: Final = ("id", "email", "name", "is_active", "is_staff", "is_superuser", "version")
GENERATION: Final = ("authz", "generation")
# Bounds how long a revoked token could live where Redis is reached by those who ask but not by who revoked it.
IDENTITY_SECONDS: Final = 5
OWN_GENERATION: Final = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """
    What roles grant: all permissions; those that only regional roles grant; the countries that these hold for.
    """

    permissions: frozenset[str]
    regional: frozenset[str]
    countries: frozenset[str]

    @property
    def everywhere(self) -> frozenset[str]:
        """Permissions that hold for all countries."""
        return self.permissions - self.regional


@dataclass(frozen=True, slots=True)
class Identity:
    """A valid token's owner, as it is kept in the cache; `expires_at` in seconds since 1970, None: never."""

    digest: str
    generation: str
    expires_at: float | None
    user: tuple[Any, ...]
    scope: Scope

    @property
    def user_id(self) -> str:
        """Whose token it is."""
        return str(self.user[0])

    def is_valid(self) -> bool:
        """Whether the token has not expired."""
        return self.expires_at is None or time.time() < self.expires_at

    def as_user(self) -> User:
        """The user, whose permissions are known already; fields that are not kept load when they are asked for."""
        user = User.from_db("default", USER_FIELDS, self.user)
        remember_scope(user, self.scope)
        return user


def remember_scope(user: User, scope: Scope) -> None:
    """Let `has_perm` and `visible_countries` know the answers."""
    user.scope = scope
    if not user.is_superuser:
        # The names under which Django's ModelBackend looks.
        for name in ("_perm_cache", "_group_perm_cache"):
            setattr(user, name, scope.permissions)
        user._user_perm_cache = frozenset()  # type: ignore[attr-defined]


def scope_of(user: User) -> Scope:
    """What the roles of a user grant; asks the database once, and not at all when the user came with a token."""
    if user.scope is None:
        remember_scope(user, load_scope(user.pk))
    assert user.scope is not None
    return user.scope


def load_scope(user_id: str) -> Scope:
    """Read from the database what the roles of a user grant, and where."""
    everywhere: set[str] = set()
    regional: set[str] = set()
    granted = Role.objects.filter(memberships__user=user_id, permissions__isnull=False).values_list(
        "is_regional", "permissions__content_type__app_label", "permissions__codename"
    )
    for is_regional, app_label, codename in granted:
        (regional if is_regional else everywhere).add(f"{app_label}.{codename}")
    countries: set[str] = set()
    if regional:
        for named in User.regions.through.objects.filter(user=user_id).values_list("region__countries", flat=True):
            countries.update(named)
    return Scope(frozenset(everywhere | regional), frozenset(regional - everywhere), frozenset(countries))


def identity_keys(digest: str) -> list[str]:
    """The two entries that say who has a token."""
    return [cache_key("token", digest), cache_key(*GENERATION)]


def identity_and(digest: str, extra_keys: Sequence[str]) -> tuple[Identity | None, list[bytes | None]]:
    """
    Who has this token, and other entries of the cache, in one round trip.

    Args:
        digest: of the token, as knox stores it.
        extra_keys: made by `cache_key`; their entries come back as `read_many` gives them.
    Returns:
        None in the place of the identity for a token that is unknown, expired, or whose user is not active.
    """
    token_entry, generation_entry, *extra = read_many([*identity_keys(digest), *extra_keys])
    identity = _kept(token_entry, generation_entry)
    if identity is None:
        identity = _missed(digest, token_entry, generation_entry)
    if identity is None or not compare_digest(identity.digest, digest) or not identity.is_valid():
        return None, extra
    return identity, extra


def _kept(token_entry: bytes | None, generation_entry: bytes | None) -> Identity | None:
    if token_entry is None or generation_entry is None or not token_entry.startswith(VALUE):
        return None
    identity = _parse(token_entry)
    return identity if generation_entry == VALUE + identity.generation.encode() else None


def _missed(digest: str, token_entry: bytes | None, generation_entry: bytes | None) -> Identity | None:
    if DOUBT in (token_entry, generation_entry) or not caching.breaker.allows():
        return load_identity(digest, generation=OWN_GENERATION)
    if generation_entry is None:
        # Of processes that make one at once, one wins; what the others store counts for nothing.
        made = fill(cache_key(*GENERATION), None, _new_generation, seconds=IDENTITY_SECONDS)
        generation_entry = VALUE + (made or b"")
    generation = generation_entry.removeprefix(VALUE).decode()
    stored = fill(
        cache_key("token", digest),
        None,
        lambda: _stored(load_identity(digest, generation=generation)),
        seconds=IDENTITY_SECONDS,
        replaces=token_entry,  # of a former generation
    )
    if stored is None:
        return None
    identity = _parse(VALUE + stored)
    return identity if identity.generation == generation else load_identity(digest, generation=OWN_GENERATION)


def load_identity(digest: str, *, generation: str) -> Identity | None:
    """Ask the database who has a token; None as in `identity_and`."""
    token = AuthToken.objects.filter(pk=digest, user__is_active=True).select_related("user").first()
    if token is None:
        return None
    user = token.user
    return Identity(
        digest=token.digest,
        generation=generation,
        expires_at=token.expiry.timestamp() if token.expiry else None,
        user=tuple(getattr(user, name) for name in USER_FIELDS),
        scope=load_scope(user.pk),
    )


def _new_generation() -> bytes:
    return secrets.token_hex(8).encode()


def _stored(identity: Identity | None) -> bytes | None:
    if identity is None:
        return None
    scope = identity.scope
    return json.dumps(
        {
            "digest": identity.digest,
            "generation": identity.generation,
            "expires_at": identity.expires_at,
            "user": identity.user,
            "permissions": sorted(scope.permissions),
            "regional": sorted(scope.regional),
            "countries": sorted(scope.countries),
        },
        separators=(",", ":"),
    ).encode()


@lru_cache(maxsize=4096)
def _parse(entry: bytes) -> Identity:
    # Remembered by its content, so it is as fresh as the entry itself.
    data = json.loads(entry[len(VALUE) :])
    return Identity(
        digest=data["digest"],
        generation=data["generation"],
        expires_at=data["expires_at"],
        user=tuple(data["user"]),
        scope=Scope(frozenset(data["permissions"]), frozenset(data["regional"]), frozenset(data["countries"])),
    )
