"""Regions: named sets of countries."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, transaction

from accounts.caching import authority_changed
from accounts.errors import RegionExistsError, RegionInUseError
from accounts.models import Region, Role, User
from accounts.powers import require_current, require_no_limits, require_permissions
from accounts.services.locking import Expect, any_version, region_locked

ATTRIBUTES: Final = ("name", "countries")


def region_create(*, slug: str, attributes: Mapping[str, Any], actor: User | None = None, now: datetime) -> Region:
    """
    Make a region.

    Args:
        attributes: `name`, `countries`.
        now: timezone-aware UTC.
    Raises:
        RegionExistsError, LimitedToRegionsError.
    """
    region = Region(slug=slug, created_at=now, updated_at=now, **{name: attributes[name] for name in ATTRIBUTES})
    try:
        with transaction.atomic():
            require_current(actor, permission="accounts.add_region")
            require_no_limits(actor)
            region.save(force_insert=True)
    except IntegrityError as error:
        raise RegionExistsError(slug=slug) from error
    return region


def region_update(
    *, slug: str, attributes: Mapping[str, Any], actor: User | None = None, expect: Expect = any_version, now: datetime
) -> Region:
    """
    Change a region; what its managers see changes at once.

    Raises:
        RegionNotFoundError, LimitedToRegionsError, MoreThanYouHaveError; and what `expect` raises.
    """
    with transaction.atomic():
        region = region_locked(slug)
        require_current(actor, permission="accounts.change_region")
        require_no_limits(actor)
        expect(region.version)
        if set(attributes.get("countries", ())) - set(region.countries):
            require_permissions(actor, _granted_in(region))
        changed = [name for name in ATTRIBUTES if name in attributes and getattr(region, name) != attributes[name]]
        if not changed:
            return region
        for name in changed:
            setattr(region, name, attributes[name])
        region_touched(region, now=now)
    return region


def _granted_in(region: Region) -> set[str]:
    """What the regional roles of its users grant there."""
    roles = Role.objects.filter(is_regional=True, permissions__isnull=False, users__regions=region)
    rows = roles.values_list("permissions__content_type__app_label", "permissions__codename").distinct()
    return {f"{app_label}.{codename}" for app_label, codename in rows}


def region_touched(region: Region, *, now: datetime) -> None:
    """Write a changed region as its next version, and tell the cache; in the transaction of the change."""
    region.version += 1
    region.updated_at = now
    region.save()
    authority_changed()


def region_delete(*, slug: str, actor: User | None = None, expect: Expect = any_version) -> None:
    """
    Delete a region that is assigned to nobody.

    Raises:
        RegionNotFoundError, RegionInUseError, LimitedToRegionsError; and what `expect` raises.
    """
    with transaction.atomic():
        region = region_locked(slug)
        require_current(actor, permission="accounts.delete_region")
        require_no_limits(actor)
        expect(region.version)
        if User.objects.filter(regions=region).exists():
            raise RegionInUseError(slug=slug)
        region.delete()
