"""One lane of the outbox as a row of parcels to send."""

from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import islice
from typing import Final

import structlog
from django.db import DatabaseError, InterfaceError

from orders.outbox import batches
from orders.outbox.batches import Batch, StoredEntry
from orders.outbox.events import Event
from orders.outbox.expansion import expanded
from orders.outbox.leases import Lease

log = structlog.get_logger(__name__)

BULK: Final = "bulk"
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
        self._next: Future[list[StoredEntry]] | None = None
        self.valid_until = valid_until
        self.batch: Batch | None = None
        self.exhausted = False
        self.leaving = False
        """To be given to another relay as soon as nothing of it is in flight."""
        self.unreadable = ""
        """Why it is to be halted then, instead."""
        self.pending = 0
        """Parcels that were handed out and are not saved."""
        self._entries: list[StoredEntry] = []
        self._expanding: tuple[StoredEntry, Iterator[tuple[int, Event]]] | None = None
        self._read: int | None = None  # the last entry that was read
        self._done = 0  # the last entry that was handed out as a whole

    def open(self) -> bool:
        """Go on with the batch that was begun, or begin one; whether there is any. Raises LeaseLostError."""
        self.forget()
        self.batch = batches.open_batch(self.lease)
        if self.batch is not None:
            self._done = self.batch.after_id
        return self.batch is not None

    def forget(self) -> None:
        """Begin again where it was saved."""
        self.batch, self.exhausted, self.pending = None, False, 0
        self._entries, self._expanding, self._read, self._done = [], None, None, 0
        self._next = None

    def next_parcel(self, *, limit: int) -> Parcel | None:
        """
        The next events; None: the batch has no more.

        Args:
            limit: so many events at most, or entries.
        Raises:
            UnreadableError: an entry is damaged, or whoever makes it into events fails with it.
        """
        assert self.batch is not None
        try:
            return self._next_parcel(limit)
        except (DatabaseError, InterfaceError):
            raise
        except Exception as error:
            entry = self._expanding[0] if self._expanding is not None else None
            what = f"Entry {entry.id} ({entry.kind} {entry.event.id})" if entry is not None else "Something"
            log.exception("entry_unreadable", lane=self.lease.lane, entry=entry and entry.id)
            raise UnreadableError(f"{what} cannot be read: {type(error).__name__}: {error}") from error

    def _next_parcel(self, limit: int) -> Parcel | None:
        assert self.batch is not None
        if self._expanding is not None:
            return self._noted(self._expand(limit))
        if not self._entries:
            self._entries = self._page(limit)
            if not self._entries:
                self.exhausted = True
                return None
        parcel = self._whole_entries() or self._begin_expanding(limit)
        return self._noted(parcel)

    def _page(self, limit: int) -> list[StoredEntry]:
        """The next entries; those after them are begun to be read, unless they may be big."""
        assert self.batch is not None
        if self._next is None:
            page = batches.entries(self.batch, limit=limit, after_id=self._read)
        else:
            page, self._next = self._next.result(), None
        if page:
            self._read = page[-1].id
            small = page[0].kind != BULK and sum([len(entry.event.data) for entry in page]) <= AHEAD_BYTES
            if small and self._read < self.batch.until_id:
                self._next = self._ahead.submit(batches.entries, self.batch, limit=limit, after_id=self._read)
        return page

    def _noted(self, parcel: Parcel) -> Parcel:
        assert self.batch is not None
        self.exhausted = not self._entries and self._expanding is None and self._done >= self.batch.until_id
        return parcel

    def _whole_entries(self) -> Parcel | None:
        """The entries up to the first that has to be expanded."""
        found = self._entries
        plain = len(found)
        for place, (_, kind, _, event) in enumerate(found):
            if kind == BULK or not event.data:
                plain = place
                break
        if not plain:
            return None
        self._entries, self._done = found[plain:], found[plain - 1].id
        return Parcel([event for _, _, _, event in found[:plain]], self._done, 0)

    def _begin_expanding(self, limit: int) -> Parcel:
        entry = self._entries.pop(0)
        batch = self.batch
        assert batch is not None
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
