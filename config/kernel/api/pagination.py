"""
Pages by key, not by number: page 1,000,000 costs what page 1 does, and nothing is counted (see `config.kernel.keyset`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.core import signing
from django.db import models
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from config.kernel.keyset import TIMEOUT_MS, Key, Keyset, statement_timeout

if TYPE_CHECKING:  # rest_framework.views imports this module for its defaults
    from django.db.models import QuerySet
    from rest_framework.request import Request
    from rest_framework.views import APIView

SALT: Final = "config.kernel.api.pagination"
NEXT_PAGE: Final = (
    "The page after this one. Go on as long as there is one: a page may hold fewer rows than asked for, even none, if "
    "a filter found little in the time it had."
)


@dataclass(frozen=True)
class Cursor:
    """Beyond which row a page lies, and on which side."""

    ordering: str
    key: Key
    backward: bool = False
    inclusive: bool = False

    def dumps(self) -> str:
        key = [_plain(value) for value in self.key]
        return signing.dumps([self.ordering, key, self.backward, self.inclusive], salt=SALT)

    @classmethod
    def loads(cls, text: str, *, ordering: str, fields: Sequence[models.Field[Any, Any]]) -> Cursor:
        """Raises ValidationError: not one of ours, or of another ordering."""
        try:
            made_for, stored, backward, inclusive = signing.loads(text, salt=SALT)
            key = tuple(_stored(value, field) for value, field in zip(stored, fields, strict=True))
        except (signing.BadSignature, ValueError):
            raise _invalid("cursor", "It is not one that was given here; follow next and previous.") from None
        if made_for != ordering:
            raise _invalid("cursor", f"It belongs to ordering={made_for}.")
        return cls(made_for, key, backward, inclusive)


class KeysetPagination(BasePagination):
    """
    `?cursor=…&limit=…&ordering=…`; `next` and `previous` are ready-made links.

    A view names in `orderings` what it can sort by without reading the whole table, the default first:
    `{"id": ("pk",), "-created_at": ("-created_at", "-id")}`. Each ends in a unique column and has one direction; none
    of its columns may be null. A view with filters that no index serves has a method `walked(ordering)` that returns
    the same queryset without them (None: none is asked for).
    """

    page_size = 100
    max_page_size = 1000
    display_page_controls = False

    def paginate_queryset(  # type: ignore[override]
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        """
        One page of rows.

        Raises:
            ValidationError: of a parameter.
            QueryTooSlowError: Postgres needed too long.
        """
        self._url = request.build_absolute_uri()
        self._limit = self._read_limit(request)
        self._ordering, columns = read_ordering(request, view)
        self._keyset = Keyset(columns)
        text = request.query_params.get("cursor")
        fields = [_field(queryset, name) for name in self._keyset.names]
        cursor = Cursor.loads(text, ordering=self._ordering, fields=fields) if text else None
        walked = view.walked(self._ordering) if view is not None and hasattr(view, "walked") else None
        with statement_timeout(TIMEOUT_MS):
            return self._page(queryset, walked, cursor)

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self._link(self._next), "previous": self._link(self._previous), "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {
            "type": "string",
            "format": "uri",
            "nullable": True,
            "example": "https://sluice.example/orders?cursor=…",
        }
        next_page = {**link, "description": NEXT_PAGE}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": next_page, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        orderings = list(getattr(view, "orderings", {"id": ("pk",)}))
        limit = {"type": "integer", "minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        ordering = {"type": "string", "enum": orderings, "default": orderings[0]}
        # The cursor is left out: it is part of the links, and nobody makes one up.
        return [
            _parameter("limit", limit, "Rows a page."),
            _parameter("ordering", ordering, "Order of the rows."),
        ]

    def _read_limit(self, request: Request) -> int:
        text = request.query_params.get("limit", str(self.page_size))
        if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= self.max_page_size):
            raise _invalid("limit", f"A whole number from 1 to {self.max_page_size}.")
        return int(text)

    def _page(self, queryset: QuerySet[Any], walked: QuerySet[Any] | None, cursor: Cursor | None) -> list[Any]:
        backward = cursor is not None and cursor.backward
        start = cursor.key if cursor is not None else None
        rows, stopped = self._keyset.read(
            queryset,
            wanted=self._limit + 1,
            start=start,
            inclusive=cursor is not None and cursor.inclusive,
            backward=backward,
            walked=walked,
        )
        more = len(rows) > self._limit
        rows = rows[: self._limit]
        # Where this page ends in the direction of reading: at its last row, or where the walk stopped looking.
        end = self._keyset.key_of(rows[-1]) if more else stopped
        onward = Cursor(self._ordering, end, backward) if end is not None else None
        back = None
        if rows and cursor is not None:
            back = Cursor(self._ordering, self._keyset.key_of(rows[0]), not backward)
        elif cursor is not None:
            back = Cursor(self._ordering, cursor.key, not backward, inclusive=not cursor.inclusive)
        self._next, self._previous = (back, onward) if backward else (onward, back)
        return rows[::-1] if backward else rows

    def _link(self, cursor: Cursor | None) -> str | None:
        if cursor is None:
            return None
        return str(replace_query_param(remove_query_param(self._url, "cursor"), "cursor", cursor.dumps()))


def read_ordering(request: Request, view: APIView | None) -> tuple[str, Sequence[str]]:
    """
    What a request wants to sort by: its name and the columns, from `view.orderings`.

    Raises:
        ValidationError: the view cannot sort by it.
    """
    orderings: dict[str, Sequence[str]] = getattr(view, "orderings", {"id": ("pk",)})
    asked = request.query_params.get("ordering", next(iter(orderings)))
    if asked not in orderings:
        raise _invalid("ordering", f"Can be one of: {', '.join(orderings)}.", code="invalid_choice")
    return asked, orderings[asked]


def _field(queryset: QuerySet[Any], name: str) -> models.Field[Any, Any]:
    meta, annotations = queryset.model._meta, queryset.query.annotations
    if name in annotations:
        return annotations[name].output_field
    return meta.pk if name == "pk" else meta.get_field(name)  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    """A value of a key as JSON has it."""
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _stored(value: Any, field: models.Field[Any, Any]) -> Any:
    if isinstance(field, models.DateTimeField):
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if isinstance(field, models.DateField) else value


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "required": False, "in": "query", "description": description, "schema": schema}


def _invalid(parameter: str, message: str, code: str = "invalid") -> ValidationError:
    return ValidationError({parameter: [message]}, code=code)
