"""Passwords."""

from datetime import datetime

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.caching import users_changed
from accounts.errors import WeakPasswordError, WrongPasswordError
from accounts.models import User
from accounts.services.locking import Expect, any_version, user_locked


def check_strength(password: str, *, user: User) -> None:
    """Raises WeakPasswordError with everything that Django's validators (settings) have against it."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise WeakPasswordError(messages=error.messages) from error


def password_set(
    *, user_id: str, password: str | None, actor: User | None = None, expect: Expect = any_version, now: datetime
) -> User:
    """
    Give somebody a password, or none. Their sessions end; their tokens stay.

    Raises:
        UserNotFoundError, WeakPasswordError, MorePowerfulUserError, SuperusersOnlyError.
    """
    with transaction.atomic():
        user = user_locked(user_id, actor=actor)
        expect(user.version)
        _write(user, password, now=now)
    return user


def password_change(*, user_id: str, current: str, password: str, now: datetime) -> User:
    """
    Change one's own password. Other sessions end; tokens stay.

    Raises:
        WrongPasswordError, WeakPasswordError.
    """
    with transaction.atomic():
        user = user_locked(user_id, actor=None)
        if not user.check_password(current):
            raise WrongPasswordError
        _write(user, password, now=now)
    return user


def _write(user: User, password: str | None, *, now: datetime) -> None:
    if password is not None:
        check_strength(password, user=user)
    user.set_password(password)
    user.version += 1
    user.updated_at = now
    user.save(update_fields=["password", "version", "updated_at"])
    users_changed([user.pk])
