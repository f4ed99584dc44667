"""
The four reports, as rows to page through: sums of days, countries, users and items, in one currency each.

What is summed is what somebody may see: the orders of some countries, or of all. Items are not told apart by country,
so who is limited to some sees none of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Model, QuerySet, Sum

from reports.models import CountrySum, DaySum, ItemSum, UserSum

Countries = frozenset[str] | None
"""Of the orders that somebody may see; None: all."""

SUMMED: Final = ("orders", "cancelled", "quantity", "revenue")


@dataclass(frozen=True)
class Report:
    """
    Rows, and how to page through them (see `config.kernel.keyset`).

    Args:
        rows: dictionaries with the columns of the key, and of SUMMED with "sum_" in front.
        walked: rows of the table to look through, because the filters leave few of many; None: they need not be.
    """

    rows: "QuerySet[Any, dict[str, Any]]"
    walked: "QuerySet[Any] | None" = None


def by_day(filters: Mapping[str, Any], countries: Countries) -> Report:
    """
    Sums of each day.

    Args:
        filters: of Django, by `day`, `currency`, `country`.
    """
    if countries is None and "country" not in filters:
        return Report(_summed(DaySum, filters, "day", "currency"))
    return Report(_summed(CountrySum, {**filters, **_within(countries)}, "day", "currency"))


def by_country(filters: Mapping[str, Any], countries: Countries) -> Report:
    """Sums of each country; filters as in `by_day`."""
    return Report(_summed(CountrySum, {**filters, **_within(countries)}, "country", "currency"))


def by_user(filters: Mapping[str, Any], countries: Countries) -> Report:
    """Sums of each user; filters by `user_id`, `day`, `currency`."""
    conditions = {**filters, **_within(countries)}
    return Report(_summed(UserSum, conditions, "user_id", "currency"), _walked(UserSum, conditions, "user_id"))


def by_item(filters: Mapping[str, Any]) -> Report:
    """Sums of each item; filters by `sku`, `day`, `currency`."""
    return Report(_summed(ItemSum, filters, "sku", "currency"), _walked(ItemSum, filters, "sku"))


def _walked(model: type[Model], filters: Mapping[str, Any], key: str) -> "QuerySet[Any] | None":
    return None if not filters or key in filters else model._default_manager.all()


def _within(countries: Countries) -> dict[str, Any]:
    return {} if countries is None else {"country__in": sorted(countries)}


def _summed(model: type[Model], filters: Mapping[str, Any], *key: str) -> "QuerySet[Any, dict[str, Any]]":
    rows: QuerySet[Any] = model._default_manager.exclude(orders=0, cancelled=0)
    for name, value in filters.items():
        rows = rows.filter(**{name: value})
    sums: QuerySet[Any, dict[str, Any]] = rows.values(*key).annotate(**{f"sum_{name}": Sum(name) for name in SUMMED})
    return sums
