"""One lane of the outbox as a row of parcels to send."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import islice
from typing import Final

import structlog
from django.db import DatabaseError, DataError, InterfaceError

from orders.outbox import batches
from orders.outbox.batches import Batch, Fetched, Run, StoredEntry
from orders.outbox.events import Event
from orders.outbox.expansion import expanded
from orders.outbox.leases import Lease

log = structlog.get_logger(__name__)

AHEAD_BYTES: Final = 2 << 20
"""A page with more is not followed by one that is read ahead, so that memory stays bounded."""

Place = tuple[int, int]
"""(after_id, after_event) of `batches.save`; places of a batch compare."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """
    Events to send in this order, and what may be saved when all of them are acknowledged.

    Args:
        after_id, after_event: of `batches.save`.
    """

    events: list[Event]
    after_id: int
    after_event: int

    @property
    def place(self) -> Place:
        return self.after_id, self.after_event


class UnreadableError(Exception):
    """What stands next in the lane cannot be made into events: the lane stands still until somebody has looked."""


class Feed:
    """
    Reads a lane's open batch, piece by piece, in order; the next page while this one is sent.

    `batch` is None between batches; `exhausted`: all of it was handed out.

    Args:
        lease: the right to read the lane.
        valid_until: by the monotonic clock, when the lease ends.
        ahead: a thread with a connection of its own.
    """

    def __init__(self, lease: Lease, *, valid_until: float, ahead: Executor) -> None:
        self.lease = lease
        self._ahead = ahead
        self._next: Future[Fetched] | None = None
        self.valid_until = valid_until
        self.batch: Batch | None = None
        self.exhausted = False
        self.leaving = False
        """To be given to another relay as soon as nothing of it is in flight."""
        self.unreadable = ""
        """Why it is to be halted then, instead."""
        self.pending = 0
        """Parcels that were handed out and are not saved."""
        self._runs: deque[Run] = deque()
        self._entry: StoredEntry | None = None  # it comes next, before the runs
        self._expanding: Iterator[tuple[int, Event]] | None = None  # its events, as far as they are not handed out
        self._read: int | None = None  # the last entry that was read
        self._done = 0  # the last entry that was handed out as a whole

    def open(self, batch: Batch) -> None:
        """Go on with a batch that was begun before, or just now."""
        self.forget()
        self.batch, self._done = batch, batch.after_id

    def forget(self) -> None:
        """Begin again where it was saved."""
        self.batch, self.exhausted, self.pending = None, False, 0
        self._entry, self._expanding, self._read, self._done = None, None, None, 0
        self._runs, self._next = deque(), None

    def next_parcel(self, *, limit: int) -> Parcel | None:
        """
        The next events; None: the batch has no more.

        Args:
            limit: so many events at most.
        Raises:
            UnreadableError: an entry is damaged, or whoever makes it into events fails with it.
        """
        assert self.batch is not None
        try:
            return self._next_parcel(limit)
        except (DatabaseError, InterfaceError) as error:
            if not isinstance(error, DataError):
                raise
            raise self._unreadable(error) from error
        except Exception as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> UnreadableError:
        entry = self._entry
        what = f"Entry {entry.id} ({entry.kind} {entry.event.id})" if entry is not None else "Something"
        log.error("entry_unreadable", lane=self.lease.lane, entry=entry and entry.id, exc_info=error)
        return UnreadableError(f"{what} cannot be read: {type(error).__name__}: {error}")

    def _next_parcel(self, limit: int) -> Parcel | None:
        assert self.batch is not None
        if self._entry is None:
            if not self._runs:
                self._runs.extend(self._read_runs(limit))
            if not self._runs:
                self.exhausted = True
                return None
            run = self._runs.popleft()
            self._entry = run.entry
            if run.events:
                self._done = run.until_id
                return self._noted(Parcel(run.events, self._done, 0))
            assert self._entry is not None
        if self._expanding is None:
            sent = self.batch.after_event if self._done == self.batch.after_id else 0
            self._expanding = expanded(batches.load_entry(self.batch, self._entry), after_event=sent)
        return self._noted(self._expand(self._expanding, self._entry, limit))

    def _read_runs(self, limit: int) -> list[Run]:
        """The next entries; those after them are begun to be fetched, unless they may be big."""
        assert self.batch is not None
        begun, self._next = self._next, None
        fetched = begun.result if begun is not None else None
        runs = batches.read_runs(self.batch, limit=limit, after_id=self._read, fetched=fetched)
        if runs:
            self._read = runs[-1].last_id
            small = len(runs) == 1 and sum([len(event.data) for event in runs[0].events]) <= AHEAD_BYTES
            if small and self._read < self.batch.until_id:
                self._next = self._ahead.submit(batches.fetch, self.batch, limit=limit, after_id=self._read)
        return runs

    def _noted(self, parcel: Parcel) -> Parcel:
        assert self.batch is not None
        self.exhausted = self._entry is None and not self._runs and self._done >= self.batch.until_id
        return parcel

    def _expand(self, rest: Iterator[tuple[int, Event]], entry: StoredEntry, limit: int) -> Parcel:
        numbered = list(islice(rest, limit))
        if len(numbered) == limit:
            return Parcel([event for _, event in numbered], self._done, numbered[-1][0])
        self._entry, self._expanding, self._done = None, None, entry.id
        return Parcel([event for _, event in numbered], self._done, 0)
