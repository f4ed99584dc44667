"""Whose turn it is: chunks resolve in file order, and those that share orders merge in it (ADR 5)."""

import time
from collections.abc import Callable
from typing import Final

from ingestion.job import Claim
from ingestion.queue import ImportStoppedError, chunk_is_abandoned, queue_status, unfinished_below
from ingestion.states import RUNNING

POLL_SECONDS: Final = (0.002, 0.05)
ABANDONED_CHECK_SECONDS: Final = 0.5


class TurnYieldedError(Exception):
    """A lower chunk was abandoned by its holder: give ours back, and take that one first."""


class Turns:
    """
    Waits for the turn of a chunk.

    Args:
        ahead: the claim that the worker holds beside the one it waits with.
        stop: asked now and then; True ends the waiting.
    """

    def __init__(self, *, ahead: Callable[[], Claim | None], stop: Callable[[], bool]) -> None:
        self._ahead = ahead
        self._stop = stop

    def wait(self, claim: Claim, *, resolved: bool) -> None:
        """
        Wait until every lower chunk is resolved (or, with resolved=False, finished).

        Raises:
            TurnYieldedError: a lower chunk waits for a worker.
            ImportStoppedError: the import is not running any more, or the worker was asked to stop.
        """
        pause = POLL_SECONDS[0]
        checked = time.monotonic()
        while (blocker := unfinished_below(claim=claim, resolved=resolved)) is not None:
            # Nobody waits while holding a lower chunk: so the lowest unfinished one always goes on.
            ahead = self._ahead()
            if ahead is not None and ahead.number < claim.number:
                raise TurnYieldedError
            time.sleep(pause)
            pause = min(pause * 1.5, POLL_SECONDS[1])
            if time.monotonic() - checked > ABANDONED_CHECK_SECONDS:
                checked = time.monotonic()
                if self._stop() or queue_status(import_id=claim.import_id)[0] != RUNNING:
                    raise ImportStoppedError
                if chunk_is_abandoned(import_id=claim.import_id, number=blocker):
                    raise TurnYieldedError
