"""Who asks: bearer tokens for programs (hashed, expiring), sessions for people."""

from collections.abc import Sequence
from typing import Final

from django.http import HttpRequest
from knox.crypto import hash_token
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from accounts import identities
from accounts.identities import Identity
from accounts.models import User
from config.kernel.api.throttling import address_of, count

SCHEME: Final = "Bearer"
MAX_TOKEN_LENGTH: Final = 256


class TokenAuthentication(BaseAuthentication):
    """
    `Authorization: Bearer <token>`; `request.auth` is the Identity.

    Tokens are knox's; this reads them through the cache, which knox does not.

    Args:
        extra_keys: entries of the cache to fetch in the same round trip; found as `entries` afterwards.
    """

    def __init__(self, extra_keys: Sequence[str] = ()) -> None:
        self._extra_keys = extra_keys
        self.entries: list[bytes | None] | None = None

    def authenticate(self, request: Request) -> tuple[User, Identity] | None:
        token = bearer_token(request)
        if token is None:
            return None
        identity, self.entries = identities.identity_and(token_digest(token), self._extra_keys)
        if identity is None:
            wait = count("bad-tokens", address_of(request))
            if wait is not None:
                raise Throttled(wait)
            raise AuthenticationFailed("This token is not known here, was revoked, or has expired.")
        return identity.as_user(), identity

    def authenticate_header(self, request: Request) -> str:
        return SCHEME


def bearer_token(request: HttpRequest | Request) -> str | None:
    """The token of a request; "" when the header names the scheme and holds no token."""
    scheme, _, token = str(request.META.get("HTTP_AUTHORIZATION", "")).strip().partition(" ")
    return token.strip() if scheme.lower() == SCHEME.lower() else None


def token_digest(token: str) -> str:
    """What is stored of a token: knox's digest (SHA-512, hexadecimal)."""
    return str(hash_token(token[:MAX_TOKEN_LENGTH]))


def signed_in(request: HttpRequest | Request) -> User:
    """The user of a request that passed its permissions, or got to the admin; narrows the type."""
    user = request.user
    assert user.is_authenticated
    return user
