"""Telling the cache which existing rows an import changes: last in the transaction of the change."""

from typing import Protocol

from accounts.caching import users_changed
from ingestion.stages.merge import Merged
from ingestion.stages.resolve import Resolution
from orders.caching import items_changed, orders_changed


class Changes(Protocol):
    """Is told, inside the transaction and after the rows are written, what a stage changed."""

    def resolved(self, resolution: Resolution) -> None:
        """Users and items that existed before."""

    def merged(self, merged: Merged) -> None:
        """Orders that existed before."""


class CacheMarks:
    """
    Marks what was changed as changed. Rows that are only inserted need none: the cache holds nothing about rows that
    are not there, so a plain load says nothing to it.
    """

    def resolved(self, resolution: Resolution) -> None:
        """Mark users and items."""
        if resolution.changed_users:
            users_changed(sorted(resolution.changed_users))
        if resolution.changed_items:
            items_changed(sorted(resolution.changed_items))

    def merged(self, merged: Merged) -> None:
        """Mark orders."""
        if merged.changed_orders:
            orders_changed(merged.changed_orders)


class NoMarks:
    """For a dry run, which changes nothing."""

    def resolved(self, resolution: Resolution) -> None:
        """Nothing to tell."""

    def merged(self, merged: Merged) -> None:
        """Nothing to tell."""
