"""Holding the next chunk and reading it while Postgres takes in the current one (ADR 0011)."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

from django.db import DatabaseError, InterfaceError, connection

from ingestion.job import Claim
from ingestion.queue import chunk_release

Read = TypeVar("Read")


class LookAhead(Generic[Read]):
    """
    Holds at most one claim beyond the current one and reads its chunk in a thread.

    While a worker waits for COPY its processor would stand idle, and one worker would leave half of a machine unused.
    Reading touches no database, so nothing has to be undone when the chunk is given back; if the worker has resolved it
    meanwhile, that stands in its row and counts for whoever takes it next.

    Args:
        read: from a claim to its records; runs in the thread, never twice at a time.
    """

    def __init__(self, *, read: Callable[[Claim], Read]) -> None:
        self._read = read
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="look-ahead")
        self._future: Future[Read] | None = None
        self.claim: Claim | None = None

    def begin(self, claim: Claim | None) -> None:
        """Start to read this chunk."""
        if claim is not None:
            self.claim, self._future = claim, self._threads.submit(self._read, claim)

    def take(self, claim: Claim) -> Read | None:
        """What was read of this claim, once that is done; None if another one is held. Raises what reading raised."""
        if claim != self.claim or self._future is None:
            return None
        future, self._future, self.claim = self._future, None, None
        return future.result()

    def ready(self) -> Read | None:
        """What was read ahead, if that is done and went well; it stays held."""
        future = self._future
        if future is None or not future.done() or future.exception() is not None:
            return None
        return future.result()

    def close(self) -> None:
        """Give back a claim that nobody took."""
        # Reading an upload looks up its segments, on a connection of the thread's own.
        self._threads.submit(connection.close)
        self._threads.shutdown(wait=True)
        if self.claim is not None:
            # If the database is away the claim's backend is gone, and others may take the chunk at once.
            with suppress(DatabaseError, InterfaceError):
                chunk_release(claim=self.claim, forgiven=True)
            self.claim = None
