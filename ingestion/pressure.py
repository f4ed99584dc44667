"""Bulk imports wait between their chunks while the outbox is too far behind (OUTBOX_MAX_LAG_SECONDS)."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from django.conf import settings

from ingestion.models import Import
from orders.outbox.selectors import bulk_lag_seconds

log = structlog.get_logger(__name__)

FRESH_SECONDS: Final = 1.0
"""How long a process believes what it was told of the lag."""
TICK_SECONDS: Final = 0.1
LONGEST_WAIT_SECONDS: Final = 60.0
"""
Then one chunk of each worker goes through all the same: an outbox that stands still makes imports slow, it does not end
them. What a chunk adds to it is one small entry.
"""


class Lag:
    """The lag of the bulk lanes in seconds, asked for at most once a second."""

    def __init__(self, ask: Callable[[], float]) -> None:
        self._ask = ask
        self._seconds = 0.0
        self._asked_at: float | None = None

    def __call__(self) -> float:
        now = time.monotonic()
        if self._asked_at is None or now - self._asked_at >= FRESH_SECONDS:
            self._seconds, self._asked_at = self._ask(), now
        return self._seconds


bulk_lag: Final = Lag(bulk_lag_seconds)
"""Of this process."""


class Pressure:
    """
    Whether a worker of an import should wait before its next chunk.

    It is asked in the worker's loop, which also looks whether the import was paused or the process is to end; so these
    work at once, and leases are kept alive meanwhile. That the import waits, and since when, stands in its row.

    Args:
        limit_seconds: lag above which it waits; None: never.
        now: the clock of people; timezone-aware UTC.
    """

    def __init__(
        self,
        *,
        import_id: int,
        limit_seconds: float | None,
        now: Callable[[], datetime],
        lag: Callable[[], float] = bulk_lag,
    ) -> None:
        self._import_id = import_id
        self._limit = limit_seconds
        self._now = now
        self._lag = lag
        self._waits_since: float | None = None
        self._noted: bool | None = None

    @classmethod
    def of_settings(cls, *, import_id: int, now: Callable[[], datetime]) -> "Pressure":
        """As OUTBOX_MAX_LAG_SECONDS says."""
        return cls(import_id=import_id, limit_seconds=settings.OUTBOX_MAX_LAG_SECONDS, now=now)

    def holds(self) -> bool:
        """Whether to ask again instead of going on; returns after a moment if so."""
        behind = self._limit is not None and self._lag() > self._limit
        if behind is not self._noted:
            self._note(behind)
        if not behind:
            self._waits_since = None
            return False
        now = time.monotonic()
        self._waits_since = self._waits_since or now
        if now - self._waits_since >= LONGEST_WAIT_SECONDS:
            self._waits_since = None
            return False
        time.sleep(TICK_SECONDS)
        return True

    def _note(self, behind: bool) -> None:
        """In the import's row; of several workers the first one writes it."""
        owner = Import.objects.filter(pk=self._import_id)
        if behind:
            changed = owner.filter(slowed_since=None).update(slowed_since=self._now())
        else:
            changed = owner.exclude(slowed_since=None).update(slowed_since=None)
        self._noted = behind
        if changed:
            event = "import_slowed" if behind else "import_not_slowed"
            log.info(event, import_id=self._import_id, lag_seconds=round(self._lag(), 1))
