"""Regions: named sets of countries."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, transaction

from accounts.caching import authority_changed
from accounts.errors import RegionExistsError, RegionInUseError
from accounts.models import Region, User
from accounts.powers import require_no_limits
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
    require_no_limits(actor)
    region = Region(slug=slug, created_at=now, updated_at=now, **{name: attributes[name] for name in ATTRIBUTES})
    try:
        with transaction.atomic():
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
        RegionNotFoundError, LimitedToRegionsError; and what `expect` raises.
    """
    require_no_limits(actor)
    with transaction.atomic():
        region = region_locked(slug)
        expect(region.version)
        changed = [name for name in ATTRIBUTES if name in attributes and getattr(region, name) != attributes[name]]
        if not changed:
            return region
        for name in changed:
            setattr(region, name, attributes[name])
        region_touched(region, now=now)
    return region


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
    require_no_limits(actor)
    with transaction.atomic():
        region = region_locked(slug)
        expect(region.version)
        if User.objects.filter(regions=region).exists():
            raise RegionInUseError(slug=slug)
        region.delete()
