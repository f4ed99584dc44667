"""
Reading the rows of a table piece by piece in the order of a key, in bounded time.

A piece continues beyond the key of a row, compared as a whole ("keyset", https://use-the-index-luke.com/no-offset), so
it costs the same wherever it begins; rows that come or go meanwhile make nobody miss or repeat others, however many
share one value.

Rows that no index finds would cost a reading of the whole table. They are *walked to*: the table is looked through in
windows of rows for at most `WALK_SECONDS`, and the piece ends where that ended, be it half full or empty.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from django.db import OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.fields import tuple_lookups
from psycopg2.errors import QueryCanceled

from config.kernel.errors import ApplicationError

TIMEOUT_MS: Final = 5_000
WALK_SECONDS: Final = 1.0
FIRST_WINDOW: Final = 2_000
LARGEST_WINDOW: Final = 50_000

Key = tuple[Any, ...]


class QueryTooSlowError(ApplicationError):
    code, status = "query_too_slow", 503
    message = "Finding these rows takes too long. Add a filter, or narrow the range of one."


@dataclass(frozen=True)
class Keyset:
    """
    The columns that rows are sorted by, all in one direction; the last ones are unique, and none is ever null.

    Args:
        columns: as for `order_by`: ("-created_at", "-id").
    """

    columns: Sequence[str]

    @property
    def names(self) -> list[str]:
        """The columns without their direction."""
        return [column.removeprefix("-") for column in self.columns]

    @property
    def descending(self) -> bool:
        """Whether large keys come first."""
        return self.columns[0].startswith("-")

    def key_of(self, row: Any) -> Key:
        """The key of an object or dictionary."""
        return tuple(row[name] if isinstance(row, dict) else getattr(row, name) for name in self.names)

    def read(
        self, rows: QuerySet[Any], *, wanted: int, start: Key | None = None, inclusive: bool = False,
        backward: bool = False, walked: QuerySet[Any] | None = None,
    ) -> tuple[list[Any], Key | None]:  # fmt: skip
        """
        Some rows, in the direction of reading.

        Args:
            wanted: at most so many.
            start: the key beyond which they lie; None: from the beginning.
            inclusive: the row with this key may be one of them.
            backward: read towards the beginning.
            walked: the same rows unfiltered, to be looked through; None: an index finds `rows`.
        Returns:
            the rows; and, when time ran out before they were found, the key up to which was looked.
        """
        down = self.descending != backward
        found: list[Any] = []
        window, until = FIRST_WINDOW, time.monotonic() + WALK_SECONDS
        while True:
            piece, end = self._beyond(rows, start, down=down, inclusive=inclusive), None
            if walked is not None:
                keys = self._beyond(walked, start, down=down, inclusive=inclusive).values_list(*self.names)
                end = next(iter(keys[window - 1 : window]), None)
                piece = piece if end is None else piece.filter(self._compare(end, down=not down, inclusive=True))
            found += piece[: wanted - len(found)]
            if end is None or len(found) == wanted:
                return found, None
            if time.monotonic() > until:
                return found, end
            start, inclusive, window = end, False, min(window * 4, LARGEST_WINDOW)

    def _beyond(self, rows: QuerySet[Any], key: Key | None, *, down: bool, inclusive: bool) -> QuerySet[Any]:
        ordered = rows.order_by(*(f"-{name}" if down else name for name in self.names))
        return ordered if key is None else ordered.filter(self._compare(key, down=down, inclusive=inclusive))

    def _compare(self, key: Key, *, down: bool, inclusive: bool) -> Any:
        if len(key) == 1:
            lookup = ("lt" if down else "gt") + ("e" if inclusive else "")
            return Q(**{f"{self.names[0]}__{lookup}": key[0]})
        side = "LessThan" if down else "GreaterThan"
        lookup_class = getattr(tuple_lookups, f"Tuple{side}{'OrEqual' if inclusive else ''}")
        return lookup_class(tuple_lookups.Tuple(*map(F, self.names)), key)


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
