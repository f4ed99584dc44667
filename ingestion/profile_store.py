"""Profiles by name: the built-in ones and those that people keep here. A name is never taken for a path."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from ingestion.errors import (
    ProfileBuiltInError,
    ProfileExistsError,
    ProfileInvalidError,
    ProfileNotFoundError,
    UnknownProfileError,
)
from ingestion.models import StoredProfile
from ingestion.profiles import Profile, ProfileError, builtin_names, load_profile
from ingestion.profiles.loading import DEFAULT
from ingestion.profiles.parsing import closest


@dataclass(frozen=True)
class Kept:
    """A profile as it is kept; `stored` is None for a built-in one, whose version never changes."""

    profile: Profile
    stored: StoredProfile | None

    @property
    def built_in(self) -> bool:
        return self.stored is None

    @property
    def version(self) -> int:
        return self.stored.version if self.stored else 1


def profile_named(name: str) -> Profile:
    """
    The profile of that name, as an import uses it; "" is the default one, our own format.

    Raises:
        UnknownProfileError: there is none.
    """
    name = name or DEFAULT
    try:
        return profile_find(name=name).profile
    except ProfileNotFoundError:
        raise UnknownProfileError(profile=name, hint=closest(name, profile_names())) from None


def profile_names() -> list[str]:
    """Of all profiles, in alphabetical order."""
    return sorted({*builtin_names(), *StoredProfile.objects.values_list("name", flat=True)})


def profile_list() -> list[Kept]:
    """All profiles, in alphabetical order."""
    kept = [Kept(load_profile(name), None) for name in builtin_names()]
    kept += [_kept(row) for row in StoredProfile.objects.exclude(name__in=builtin_names())]
    return sorted(kept, key=lambda each: each.profile.name)


def profile_find(*, name: str) -> Kept:
    """
    A profile with its version.

    Raises:
        ProfileNotFoundError: there is none of that name.
    """
    if name in builtin_names():
        return Kept(load_profile(name), None)
    row = StoredProfile.objects.filter(name=name).first()
    if row is None:
        raise ProfileNotFoundError(profile=name)
    return _kept(row)


def _kept(row: StoredProfile) -> Kept:
    return Kept(profile_from(row.definition), row)


def profile_from(definition: Mapping[str, Any]) -> Profile:
    """
    A profile that came with a request.

    Raises:
        ProfileInvalidError: with everything that is wrong with it.
    """
    try:
        return Profile.from_mapping(definition, source=str(definition.get("name", "")))
    except ProfileError as error:
        raise invalid_profile(error) from error


def profile_with(
    profile: Profile,
    *,
    mapping: Mapping[str, str] | None = None,
    on_conflict: str | None = None,
    max_errors: int | None = None,
    max_error_ratio: float | None = None,
) -> Profile:
    """
    A profile with some options changed for one import; None leaves one as it is.

    Args:
        mapping: field → column; an empty column unmaps the field.
    Raises:
        ProfileInvalidError: a field or value that is not allowed.
    """
    try:
        changed = profile.with_mapping(mapping) if mapping else profile
        return changed.with_rules(on_conflict=on_conflict, max_errors=max_errors, max_error_ratio=max_error_ratio)
    except ProfileError as error:
        raise invalid_profile(error) from error


def invalid_profile(error: ProfileError) -> ProfileInvalidError:
    """All that is wrong with a profile, as the API says it."""
    return ProfileInvalidError(
        errors=[
            {"field": problem.path, "code": "invalid_profile", "message": problem.message, "hint": problem.hint}
            for problem in error.problems
        ]
    )


def profile_create(*, definition: Mapping[str, Any], created_by_id: str, now: datetime) -> Kept:
    """
    Keep a new profile.

    Args:
        now: timezone-aware UTC.
    Raises:
        ProfileInvalidError: with everything that is wrong with it.
        ProfileBuiltInError, ProfileExistsError: the name is taken.
    """
    profile = profile_from(definition)
    _refuse_built_in(profile.name)
    row, created = StoredProfile.objects.get_or_create(
        name=profile.name,
        defaults={
            "definition": profile.as_dict(),
            "created_by_id": created_by_id,
            "created_at": now,
            "updated_at": now,
        },
    )
    if not created:
        raise ProfileExistsError(profile=profile.name)
    return Kept(profile, row)


def profile_replace(*, name: str, definition: Mapping[str, Any], expected_version: int, now: datetime) -> Kept | None:
    """
    Replace a kept profile. Imports that were made with it keep what they were made with.

    Args:
        definition: its name may be left out.
        expected_version: of the one that the caller has read.
        now: timezone-aware UTC.
    Returns:
        None when it has another version by now.
    Raises:
        ProfileInvalidError: with everything that is wrong with it, also another name.
        ProfileNotFoundError, ProfileBuiltInError: there is none to replace.
    """
    _refuse_built_in(name)
    profile = _named(name, definition)
    with transaction.atomic():
        row = _locked(name)
        if row.version != expected_version:
            return None
        row.definition, row.version, row.updated_at = profile.as_dict(), row.version + 1, now
        row.save(update_fields=["definition", "version", "updated_at"])
    return Kept(profile, row)


def _named(name: str, definition: Mapping[str, Any]) -> Profile:
    profile = profile_from({"name": name, **definition})
    if profile.name != name:
        message = f"is {profile.name!r}, but the address says {name!r}"
        raise ProfileInvalidError(
            errors=[{"field": "name", "code": "invalid_profile", "message": message, "hint": "leave it out"}]
        )
    return profile


def profile_delete(*, name: str, expected_version: int) -> bool:
    """
    Forget a kept profile. Imports that were made with it keep what they were made with.

    Returns:
        False when it has another version by now.
    Raises:
        ProfileNotFoundError, ProfileBuiltInError: there is none to delete.
    """
    _refuse_built_in(name)
    with transaction.atomic():
        row = _locked(name)
        if row.version != expected_version:
            return False
        row.delete()
    return True


def _locked(name: str) -> StoredProfile:
    row = StoredProfile.objects.select_for_update().filter(name=name).first()
    if row is None:
        raise ProfileNotFoundError(profile=name)
    return row


def _refuse_built_in(name: str) -> None:
    if name in builtin_names():
        raise ProfileBuiltInError(profile=name)
