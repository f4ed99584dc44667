"""Users, and the regions they are assigned to."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, connection, models, transaction
from psycopg2.errors import UniqueViolation

from accounts.caching import users_changed
from accounts.errors import (
    DuplicateEmailError,
    SuperusersOnlyError,
    UnknownRegionError,
    UserExistsError,
    UserHasRecordsError,
    UserNotFoundError,
)
from accounts.models import Region, User
from accounts.powers import require_country, require_current, require_nothing_gained
from accounts.services.locking import CHANGE_USER, Expect, any_version, user_locked
from accounts.services.passwords import check_strength
from config.kernel.errors import violated_constraint
from config.kernel.ids import new_id
from config.kernel.sql import load_queries

queries = load_queries("accounts", "users")

ADD_USER: Final = "accounts.add_user"
DELETE_USER: Final = "accounts.delete_user"
FLAGS: Final = ("is_staff", "is_superuser")
ATTRIBUTES: Final = ("name", "email", "age", "country", "is_active", *FLAGS)


def user_create(
    *,
    attributes: Mapping[str, Any],
    user_id: str | None = None,
    password: str | None = None,
    actor: User | None = None,
    now: datetime,
) -> User:
    """
    Make a user.

    Args:
        attributes: some of ATTRIBUTES; e-mails in any case.
        user_id: None: one is made.
        password: plain text; None: the user cannot sign in with a password.
        now: timezone-aware UTC.
    Raises:
        UserExistsError, DuplicateEmailError, WeakPasswordError, SuperusersOnlyError, OutsideRegionError.
    """
    user = User(id=user_id or new_id(now=now), created_at=now, updated_at=now)
    with transaction.atomic(), _translated(user.pk):
        require_current(actor, permission=ADD_USER)
        _apply(user, attributes, actor=actor)
        require_country(actor, user.country, permission=ADD_USER)
        if password is not None:
            check_strength(password, user=user)
        user.set_password(password)
        user.save(force_insert=True)
    return user


def user_update(
    *,
    user_id: str,
    attributes: Mapping[str, Any],
    actor: User | None = None,
    expect: Expect = any_version,
    now: datetime,
) -> User:
    """
    Change attributes of a user. What changes nothing makes no version.

    Raises:
        UserNotFoundError, DuplicateEmailError, MorePowerfulUserError, SuperusersOnlyError, OutsideRegionError; and what
        `expect` raises.
    """
    with transaction.atomic():
        user = user_locked(user_id, actor=actor)
        expect(user.version)
        changed = _apply(user, attributes, actor=actor)
        if not changed:
            return user
        require_country(actor, user.country, permission=CHANGE_USER)
        user.version += 1
        user.updated_at = now
        with _translated(user.pk):
            user.save(update_fields=[*changed, "version", "updated_at"])
        users_changed([user.pk])
    return user


def user_delete(*, user_id: str, actor: User | None = None, expect: Expect = any_version) -> None:
    """
    Delete a user who has neither orders nor anything else that must keep its user.

    Raises:
        UserNotFoundError, UserHasRecordsError, MorePowerfulUserError; and what `expect` raises.
    """
    if not User.objects.filter(pk=user_id).exists():
        raise UserNotFoundError(user_id=user_id)
    with transaction.atomic(), connection.cursor() as cursor:
        _refuse_records(user_id)
        # Loads hold the gate while they wait for users; who takes a user first and then the gate could deadlock.
        cursor.execute(queries.enter_gate)
        user = user_locked(user_id, actor=actor, permission=DELETE_USER)
        expect(user.version)
        _refuse_records(user_id)
        users_changed([user_id])
        try:
            user.delete()
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except IntegrityError as error:
            raise UserHasRecordsError(user_id=user_id, records="orders") from error


def region_assign(*, user_id: str, slug: str, actor: User | None = None) -> bool:
    """
    Assign a region; what regional roles grant then holds there, too.

    Returns:
        whether it was not assigned already.
    Raises:
        UserNotFoundError, UnknownRegionError, MorePowerfulUserError, MoreThanYouHaveError.
    """
    with transaction.atomic():
        user = user_locked(user_id, actor=actor)
        region = _region(slug)
        if user.regions.filter(pk=region.pk).exists():
            return False
        user.regions.add(region)
        require_nothing_gained(actor, user)
        users_changed([user_id])
    return True


def region_take(*, user_id: str, slug: str, actor: User | None = None) -> None:
    """Take a region from a user, who may not have it. Raises UserNotFoundError, MorePowerfulUserError."""
    with transaction.atomic():
        user = user_locked(user_id, actor=actor)
        user.regions.remove(*Region.objects.filter(slug=slug))
        users_changed([user_id])


def _region(slug: str) -> Region:
    region = Region.objects.filter(slug=slug).first()
    if region is None:
        raise UnknownRegionError(slug=slug)
    return region


def _apply(user: User, attributes: Mapping[str, Any], *, actor: User | None) -> list[str]:
    """Set attributes; returns the names of those that differ from what they were."""
    changed = []
    for name in ATTRIBUTES:
        if name not in attributes:
            continue
        value = attributes[name]
        if name == "email":
            value = value.lower() if value else None
        if getattr(user, name) != value:
            setattr(user, name, value)
            changed.append(name)
    if actor is not None and not actor.is_superuser and set(changed) & set(FLAGS):
        raise SuperusersOnlyError
    return changed


def _refuse_records(user_id: str) -> None:
    """
    Refuse a user whom rows of other apps point to. Django would find them, too, by reading all of them.
    """
    for relation in User._meta.get_fields(include_hidden=True):
        if not isinstance(relation, models.ManyToOneRel) or relation.on_delete is not models.PROTECT:
            continue
        model = relation.related_model
        if model._base_manager.filter(**{relation.field.name: user_id}).exists():
            raise UserHasRecordsError(user_id=user_id, records=str(model._meta.verbose_name_plural))


@contextmanager
def _translated(user_id: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise
        if violated_constraint(error) == "accounts_user_pkey":
            raise UserExistsError(user_id=user_id) from error
        raise DuplicateEmailError from error  # the only other one
