"""What all pages of the admin share: lists that stay fast on tables of any length, and rows that are only looked at."""

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest
from django.utils.functional import cached_property

COUNTED_AT_MOST: Final = 10_000
"""Rows that a list of the admin counts and leafs through; who needs others narrows the list down."""


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than `COUNTED_AT_MOST`: counting 100 million rows takes a minute."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return min(int(rows.order_by()[: COUNTED_AT_MOST + 1].count()), COUNTED_AT_MOST)


class BoundedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A list that counts and sorts only what an index serves; name sortable columns explicitly."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50
    sortable_by: ClassVar[tuple[str, ...]] = ()


class ReadOnlyAdmin(BoundedAdmin):
    """Rows that are looked at, never edited: changing them by hand would break a promise."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
