"""What is in flight: how much, and what may be saved when the broker has acknowledged how much of it."""

from collections import deque
from dataclasses import dataclass

from orders.outbox.relay.feed import Feed, Parcel, Place


@dataclass(frozen=True, slots=True)
class Mark:
    """
    A parcel that was sent.

    Args:
        number: it is acknowledged when so many of the producer's sends are.
        events: of it that were sent, not held.
        size_bytes: their data.
    """

    number: int
    feed: Feed
    parcel: Parcel
    events: int
    size_bytes: int


class Window:
    """
    Parcels in flight, in the order in which they were sent.

    Args:
        most_bytes: in flight; a parcel more may be.
    """

    def __init__(self, *, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._marks: deque[Mark] = deque()
        self._size_bytes = 0

    @property
    def full(self) -> bool:
        return self._size_bytes >= self._most_bytes

    def add(self, mark: Mark) -> None:
        self._marks.append(mark)
        self._size_bytes += mark.size_bytes
        mark.feed.pending += 1

    def take(self, settled: int) -> list[Mark]:
        """Those that are acknowledged when so many sends are; they are in flight no more."""
        found = []
        while self._marks and self._marks[0].number <= settled:
            mark = self._marks.popleft()
            self._size_bytes -= mark.size_bytes
            mark.feed.pending -= 1
            found.append(mark)
        return found

    def last_places(self) -> dict[int, Place]:
        """Of each lane that has parcels in flight, where the last one ends."""
        return {mark.feed.lease.lane: mark.parcel.place for mark in self._marks}

    def clear(self) -> None:
        """Nothing is known of what is in flight."""
        self._marks.clear()
        self._size_bytes = 0
