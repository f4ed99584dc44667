"""Keeping the leases of claimed chunks alive."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from django.db import DatabaseError, InterfaceError, connection

from ingestion.job import Claim

HEARTBEAT_SECONDS: Final = 15


class Heartbeat:
    """
    Extends the leases of a worker's claims from a thread with a connection of its own.

    A process that is stopped or hangs as a whole stops beating; one that waits in a long COPY does not.

    Args:
        beat: extends one lease, see `ingestion.queue.chunk_heartbeat`; None: there is nobody who could take a chunk
            away (a dry run), and nothing is done.
    """

    def __init__(self, *, beat: Callable[..., bool] | None) -> None:
        self._beat = beat
        self._claims: tuple[Claim, ...] = ()
        self._wake = threading.Event()
        if beat is not None:
            threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def watch(self, *claims: Claim | None) -> None:
        """Beat for these claims from now on, and for no others."""
        self._claims = tuple(claim for claim in claims if claim is not None)

    def stop(self) -> None:
        """End the thread."""
        self._wake.set()

    def _run(self) -> None:
        while not self._wake.wait(HEARTBEAT_SECONDS):
            for claim in self._claims:
                with suppress(DatabaseError, InterfaceError):
                    assert self._beat is not None
                    self._beat(claim=claim)
            connection.close()
