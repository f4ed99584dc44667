"""Pages by key, not by number: page 1,000,000 costs what page 1 does, and nothing is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import ValidationError
from rest_framework.pagination import CursorPagination

if TYPE_CHECKING:  # rest_framework.views imports this module for its defaults
    from django.db.models import QuerySet
    from rest_framework.request import Request
    from rest_framework.views import APIView


class KeysetPagination(CursorPagination):
    """
    `?cursor=…&limit=…&ordering=…`; `next` and `previous` are ready-made links.

    A view names in `orderings` what it can sort by without reading the whole table, the default first; each must end in
    a unique column.
    """

    page_size = 100
    max_page_size = 1000
    page_size_query_param = "limit"
    cursor_query_param = "cursor"
    ordering: Any = ("pk",)

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> tuple[str, ...]:
        orderings: Any = getattr(view, "orderings", {"id": ("pk",)})
        asked = request.query_params.get("ordering") or next(iter(orderings))
        if asked not in orderings:
            known = ", ".join(orderings)
            raise ValidationError({"ordering": [f"Can be one of: {known}."]}, code="invalid_choice")
        return tuple(orderings[asked])
