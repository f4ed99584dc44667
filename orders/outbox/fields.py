"""Types of Postgres that tell what is visible: transaction ids and snapshots (manual, 9.27)."""

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class TransactionIdField(models.Field):  # type: ignore[type-arg]
    """A 64-bit transaction id, which never wraps round."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "xid8"

    def from_db_value(self, value: Any, *_: object) -> int | None:
        return None if value is None else int(value)


class SnapshotField(models.Field):  # type: ignore[type-arg]
    """What was visible at a moment, as text: `xmin:xmax:` and the ids between them that were still running."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "pg_snapshot"
