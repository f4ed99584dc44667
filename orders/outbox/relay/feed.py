"""One lane of the outbox as a row of parcels to send."""

from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import islice
from typing import Final

import structlog
from django.db import DatabaseError, DataError, InterfaceError

from orders.outbox import batches
from orders.outbox.batches import Batch, Fetched, Page, StoredEntry
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
        self._entry: StoredEntry | None = None  # it comes next, and has to be expanded
        self._expanding: tuple[StoredEntry, Iterator[tuple[int, Event]]] | None = None
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
        self._next = None

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
        except DataError as error:
            raise UnreadableError(f"What follows entry {self._read or self._done} cannot be read: {error}") from error
        except (DatabaseError, InterfaceError):
            raise
        except Exception as error:
            entry = self._expanding[0] if self._expanding is not None else None
            what = f"Entry {entry.id} ({entry.kind} {entry.event.id})" if entry is not None else "Something"
            log.exception("entry_unreadable", lane=self.lease.lane, entry=entry and entry.id)
            raise UnreadableError(f"{what} cannot be read: {type(error).__name__}: {error}") from error

    def _next_parcel(self, limit: int) -> Parcel | None:
        if self._expanding is not None:
            return self._noted(self._expand(limit))
        if self._entry is None:
            page = self._page(limit)
            if page is None:
                self.exhausted = True
                return None
            self._entry = page.entry
            if page.events:
                self._done = page.until_id
                return self._noted(Parcel(page.events, self._done, 0))
        return self._noted(self._begin_expanding(limit))

    def _page(self, limit: int) -> Page | None:
        """The next entries; those after them are begun to be fetched, unless they may be big."""
        assert self.batch is not None
        begun, self._next = self._next, None
        fetched = begun.result if begun is not None else None
        page = batches.read_page(self.batch, limit=limit, after_id=self._read, fetched=fetched)
        if page is not None:
            self._read = page.last_id
            small = page.entry is None and sum([len(event.data) for event in page.events]) <= AHEAD_BYTES
            if small and self._read < self.batch.until_id:
                self._next = self._ahead.submit(batches.fetch, self.batch, limit=limit, after_id=self._read)
        return page

    def _noted(self, parcel: Parcel) -> Parcel:
        assert self.batch is not None
        self.exhausted = self._entry is None and self._expanding is None and self._done >= self.batch.until_id
        return parcel

    def _begin_expanding(self, limit: int) -> Parcel:
        entry, batch = self._entry, self.batch
        assert entry is not None
        assert batch is not None
        self._entry = None
        sent = batch.after_event if self._done == batch.after_id else 0
        self._expanding = entry, expanded(entry, after_event=sent)
        return self._expand(limit)

    def _expand(self, limit: int) -> Parcel:
        assert self._expanding is not None
        entry, rest = self._expanding
        numbered = list(islice(rest, limit))
        if len(numbered) == limit:
            return Parcel([event for _, event in numbered], self._done, numbered[-1][0])
        self._expanding, self._done = None, entry.id
        return Parcel([event for _, event in numbered], self._done, 0)
