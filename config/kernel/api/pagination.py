"""
Pages by key, not by number: page 1,000,000 costs what page 1 does, and nothing is counted.

A page continues beyond the key of a row, compared as a whole ("keyset", https://use-the-index-luke.com/no-offset), so
rows that come or go meanwhile make nobody miss or repeat others, however many share one value.

Filters that no index serves would read a whole table to fill a page. A view that has such filters gives the rows to
walk over (`walked`): they are looked through in windows for at most `WALK_SECONDS`; then the page ends, be it half full
or empty, and `next` goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.core import signing
from django.db import OperationalError, connection, models, transaction
from django.db.models import F
from django.db.models.fields import tuple_lookups
from psycopg2.errors import QueryCanceled
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from config.kernel.errors import ApplicationError

if TYPE_CHECKING:  # rest_framework.views imports this module for its defaults
    from django.db.models import QuerySet
    from rest_framework.request import Request
    from rest_framework.views import APIView

SALT: Final = "config.kernel.api.pagination"
TIMEOUT_MS: Final = 5_000
WALK_SECONDS: Final = 1.0
FIRST_WINDOW: Final = 2_000
LARGEST_WINDOW: Final = 50_000

NEXT_PAGE: Final = (
    "The page after this one. Go on as long as there is one: a page may hold fewer rows than asked for, even none, if "
    "a filter found little in the time it had."
)

Key = tuple[Any, ...]


class QueryTooSlowError(ApplicationError):
    code, status = "query_too_slow", 503
    message = "Finding these rows takes too long. Add a filter, or narrow the range of one."


@dataclass(frozen=True)
class Cursor:
    """Beyond which row a page lies, and on which side."""

    ordering: str
    key: Key
    backward: bool = False

    def dumps(self) -> str:
        key = [_plain(value) for value in self.key]
        return signing.dumps([self.ordering, key, self.backward], salt=SALT)

    @classmethod
    def loads(cls, text: str, *, ordering: str, fields: Sequence[models.Field[Any, Any]]) -> Cursor:
        """Raises ValidationError: not one of ours, or of another ordering."""
        try:
            made_for, key, backward = signing.loads(text, salt=SALT)
        except signing.BadSignature:
            raise _invalid("cursor", "It is not one that was given here; follow next and previous.") from None
        if made_for != ordering:
            raise _invalid("cursor", f"It belongs to ordering={made_for}.")
        values = zip(key, fields, strict=True)
        return cls(made_for, tuple(_stored(value, field) for value, field in values), backward)


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

    def paginate_queryset(self, queryset: QuerySet[Any], request: Request, view: APIView | None = None) -> list[Any]:
        """
        One page of rows.

        Raises:
            ValidationError: of a parameter.
            QueryTooSlowError: Postgres needed too long.
        """
        self._url = request.build_absolute_uri()
        self._limit = self._read_limit(request)
        self._ordering, columns = read_ordering(request, view)
        self._names = [name.lstrip("-") for name in columns]
        self._descending = columns[0].startswith("-")
        text = request.query_params.get("cursor")
        fields = [_field(queryset, name) for name in self._names]
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
        rows, stopped = self._collect(queryset, walked, start, backward=backward)
        more = len(rows) > self._limit
        rows = rows[: self._limit]
        # Where this page ends in the direction of reading: at its last row, or where the walk stopped looking.
        end = self._key(rows[-1]) if more else stopped
        beginning = self._key(rows[0]) if rows else start
        onward = Cursor(self._ordering, end, backward) if end is not None else None
        back = Cursor(self._ordering, beginning, not backward) if cursor is not None and beginning is not None else None
        self._next, self._previous = (back, onward) if backward else (onward, back)
        return rows[::-1] if backward else rows

    def _collect(
        self, queryset: QuerySet[Any], walked: QuerySet[Any] | None, start: Key | None, *, backward: bool
    ) -> tuple[list[Any], Key | None]:
        """Up to one row more than the limit; and, if time ran out before, the key up to which was looked."""
        down = self._descending != backward
        found: list[Any] = []
        window, until = FIRST_WINDOW, time.monotonic() + WALK_SECONDS
        while True:
            rows, end = self._beyond(queryset, start, down=down), None
            if walked is not None:
                keys = self._beyond(walked, start, down=down).values_list(*self._names)
                end = next(iter(keys[window - 1 : window]), None)
                rows = rows if end is None else rows.filter(self._compare(end, down=not down, inclusive=True))
            found += rows[: self._limit + 1 - len(found)]
            if end is None or len(found) > self._limit:
                return found, None
            if time.monotonic() > until:
                return found, end
            start, window = end, min(window * 4, LARGEST_WINDOW)

    def _beyond(self, queryset: QuerySet[Any], key: Key | None, *, down: bool) -> QuerySet[Any]:
        ordered = queryset.order_by(*(f"-{name}" if down else name for name in self._names))
        return ordered if key is None else ordered.filter(self._compare(key, down=down, inclusive=False))

    def _compare(self, key: Key, *, down: bool, inclusive: bool) -> Any:
        if len(self._names) == 1:
            lookup = ("lt" if down else "gt") + ("e" if inclusive else "")
            return models.Q(**{f"{self._names[0]}__{lookup}": key[0]})
        side = "LessThan" if down else "GreaterThan"
        lookup_class = getattr(tuple_lookups, f"Tuple{side}{'OrEqual' if inclusive else ''}")
        return lookup_class(tuple_lookups.Tuple(*map(F, self._names)), key)

    def _key(self, row: Any) -> Key:
        return tuple(row[name] if isinstance(row, dict) else getattr(row, name) for name in self._names)

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


@contextmanager
def statement_timeout(milliseconds: int) -> Iterator[None]:
    """
    Let Postgres give up a statement that takes longer; a transaction is begun if there is none.

    Raises:
        QueryTooSlowError: one did.
    """
    nested = connection.in_atomic_block
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(milliseconds)])
            yield
            if nested:
                cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise QueryTooSlowError from error
        raise


def _field(queryset: QuerySet[Any], name: str) -> models.Field[Any, Any]:
    meta, annotations = queryset.model._meta, queryset.query.annotations
    if name in annotations:
        return annotations[name].output_field
    return meta.pk if name == "pk" else meta.get_field(name)  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    """A value of a key as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _stored(value: Any, field: models.Field[Any, Any]) -> Any:
    return datetime.fromisoformat(value) if isinstance(field, models.DateTimeField) else value


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "required": False, "in": "query", "description": description, "schema": schema}


def _invalid(parameter: str, message: str, code: str = "invalid") -> ValidationError:
    return ValidationError({parameter: [message]}, code=code)
