"""Tokens for programs: shown once, stored as a digest, and they expire."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from knox.models import AuthToken, get_digest_token
from knox.settings import CONSTANTS

from accounts.caching import tokens_changed
from accounts.errors import TokenNotFoundError, UserInactiveError
from accounts.models import User
from accounts.services.locking import user_locked


def token_create(
    *, user: User, ttl: timedelta | None, now: datetime, actor: User | None = None
) -> tuple[AuthToken, str]:
    """
    Make a token; the user's expired ones are removed.

    Args:
        ttl: how long it lives; None: it does not expire, which only commands of ours may ask for.
        now: timezone-aware UTC.
    Returns:
        the row, and the token itself, which is stored nowhere.
    Raises:
        UserNotFoundError, UserInactiveError, MorePowerfulUserError, SuperusersOnlyError.
    """
    with transaction.atomic():
        owner = user_locked(user.pk, actor=None if actor is not None and actor.pk == user.pk else actor)
        if not owner.is_active:
            raise UserInactiveError(user_id=owner.pk)
        AuthToken.objects.filter(user=owner, expiry__lt=now).delete()
        digest, token = get_digest_token()
        row = AuthToken(
            digest=digest,
            token_key=token[: CONSTANTS.TOKEN_KEY_LENGTH],
            user=owner,
            expiry=None if ttl is None else now + ttl,
        )
        row.save(force_insert=True)
    return row, token


def token_revoke(*, user_id: str, key: str, actor: User | None = None) -> None:
    """
    Revoke a token; it is refused at once, by all processes.

    Args:
        user_id: whose it is.
        key: its first 15 characters, as lists show them.
    Raises:
        TokenNotFoundError, UserNotFoundError, MorePowerfulUserError.
    """
    with transaction.atomic():
        owner = user_locked(user_id, actor=None if actor is not None and actor.pk == user_id else actor)
        digests = list(AuthToken.objects.filter(user=owner, token_key=key).values_list("digest", flat=True))
        if not digests:
            raise TokenNotFoundError(key=key)
        tokens_revoke(digests)


def tokens_revoke(digests: list[str]) -> None:
    """Revoke tokens by their digests; in the transaction of the caller."""
    AuthToken.objects.filter(Q(digest__in=digests)).delete()
    tokens_changed(digests)
