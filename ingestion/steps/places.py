"""
How many threads of this process do what takes long or much memory, so that small imports never wait for big ones.

Whoever finds no place does not wait: what needs one is left out of what is claimed, and whoever gives a place back
looks again.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from ingestion.steps.claims import DRY_RUN, PLAN, StepClaim

KEPT_FREE: Final = 2
"""Threads that never plan or predict a big import; of the others, as many never follow an upload."""


class NoPlaceError(Exception):
    """All places of a kind are taken."""


class Places:
    """A number of places of one kind."""

    def __init__(self, limit: int = 1) -> None:
        self.limit = limit
        self._count = 0
        self._lock = threading.Lock()

    @property
    def free(self) -> bool:
        """Whether there is a place."""
        return self._count < self.limit

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have a place meanwhile. Raises NoPlaceError at once if there is none."""
        with self._lock:
            if self._count >= self.limit:
                raise NoPlaceError
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1


lasting = Places()
"""For full passes over big files, and over those that are still being received."""
followers = Places()
"""For planning uploads that are still being received, each for as long as that takes."""
dry_runs = Places()
"""Each is a whole pipeline in this process, with its memory: one at a time, whatever the number of threads."""


def places_divide(*, threads: int) -> None:
    """Set the limits for a process of so many threads."""
    lasting.limit = max(1, threads - KEPT_FREE)
    followers.limit = max(1, threads - 2 * KEPT_FREE)


@contextmanager
def places_of(claim: StepClaim) -> Iterator[None]:
    """Have the places that a step needs. Raises NoPlaceError if another thread took the last since we looked."""
    with ExitStack() as stack:
        if claim.lasts:
            stack.enter_context(lasting.taken())
        if claim.step == PLAN and claim.follows:
            stack.enter_context(followers.taken())
        if claim.step == DRY_RUN:
            stack.enter_context(dry_runs.taken())
        yield
