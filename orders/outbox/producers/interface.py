"""
What the relay needs of a client that sends.

Sends are numbered from 1. `settled()` says of how many of the *first* sends the broker has acknowledged every one, so a
position may be saved for all that was sent up to there. There is no error for a single send afterwards: a producer that
was refused something is finished, because what it has in flight behind it is in an unknown state. Make a new one and
go on from the last saved position; what is sent again has the same id.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from orders.outbox.events import Event


class PoisonEventError(Exception):
    """This event can never be sent as it is; the others can."""


class RefusedError(Exception):
    """The broker refused the content of something in flight; which one is certain only if nothing else was."""


class UnrecoverableError(Exception):
    """This producer cannot go on: leave the process, whose supervisor starts a new one."""


class Producer(Protocol):
    """
    Sends in order. Not for several threads.

    Each method but `close` may raise UnrecoverableError, each but `send`, `send_all` and `close` RefusedError.
    """

    sent: int
    """How many sends there were."""

    def send(self, event: Event, partition: int) -> None:
        """
        Hand over an event; returns at once. Keep `sent - settled()` bounded yourself.

        Args:
            partition: of the event's topic.
        Raises:
            PoisonEventError: it is too large for its topic. Nothing was sent, and nothing else is affected.
        """

    def send_all(self, events: Sequence[Event], partition: Callable[[Event], int]) -> None:
        """
        Hand over events in this order, quicker than one by one.

        Args:
            partition: of an event.
        Raises:
            PoisonEventError: as for `send`; those before it were sent, as `sent` says, it and those after it not.
        """

    def settled(self) -> int:
        """How many of the first sends are acknowledged by now, all of them; does not wait."""

    def wait(self, seconds: float) -> None:
        """Wait until something more is settled, at most so long."""

    def flush(self, seconds: float) -> bool:
        """Wait until everything is settled, at most so long; whether it is."""

    def close(self) -> None:
        """Let go of everything; what is not settled may still be sent, or not. Takes a second at most."""
