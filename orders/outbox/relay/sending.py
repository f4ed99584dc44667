"""
Events on their way to a producer: those of halted keys are held instead, and after a refusal each one goes alone.

The broker refuses without saying which event it was, so what was in flight is sent again one at a time, from where each
lane was saved. Where that begins may lie well before the event that was refused: what stands before it in its parcel
can be acknowledged already. So everything goes alone until each lane has passed the last place that was in flight.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from orders.outbox import halting
from orders.outbox.events import Event
from orders.outbox.halting import Refusal
from orders.outbox.producers.interface import PoisonEventError, Producer, RefusedError, UnrecoverableError
from orders.outbox.relay.feed import Parcel, Place

HALTED_SECONDS: Final = 1.0
"""Between two looks at which keys are halted or released."""
ALONE_SECONDS: Final = 30.0
"""For the broker to acknowledge a single event."""
HELD_SECONDS: Final = 5.0
"""For what is in flight before held events are sent."""


class Sender:
    """
    A producer after the other, as one.

    Args:
        connect: makes a producer; raises UnrecoverableError.
        sends_held: whether it also sends what was held of keys that were released.
        stall_seconds: without any acknowledgement, until it cannot go on.
    """

    def __init__(self, connect: Callable[[], Producer], *, sends_held: bool, stall_seconds: float) -> None:
        self.partition: Callable[[Event], int] = lambda _: 0
        self.settled = 0
        """Of all sends ever, as far as `settle` has looked."""
        self._connect = connect
        self._sends_held = sends_held
        self._stall_seconds = stall_seconds
        self._before = 0  # sends of former producers
        self._progress_at = self._halted_at = 0.0
        self._halted: set[halting.Key] = set()
        self._doubtful: dict[int, Place] = {}  # by lane, what was in flight when something was refused
        self._producer = connect()

    @property
    def sent(self) -> int:
        """Sends ever: parcels are known by this number."""
        return self._before + self._producer.sent

    @property
    def in_flight(self) -> int:
        return self.sent - self.settled

    @property
    def careful(self) -> bool:
        """Each event goes alone, which takes a while."""
        return bool(self._doubtful)

    def settle(self) -> int:
        """
        How many of the first sends are acknowledged.

        Raises:
            RefusedError: begin again, see `be_careful`.
            UnrecoverableError
        """
        settled, now = self._before + self._producer.settled(), time.monotonic()
        if settled != self.settled or not self.in_flight:
            self.settled, self._progress_at = settled, now
        elif now - self._progress_at > self._stall_seconds:
            raise UnrecoverableError(f"The broker has acknowledged nothing for {self._stall_seconds:.0f} s.")
        return settled

    def wait(self, seconds: float) -> None:
        """Until something more is settled, at most so long."""
        self._producer.wait(seconds)

    def flush(self, seconds: float) -> bool:
        """Wait until everything is settled, at most so long; whether it is."""
        return self._producer.flush(seconds)

    def close(self) -> None:
        self._producer.close()

    # Parcels

    def send(self, lane: int, parcel: Parcel) -> int:
        """Send a lane's next parcel, or hold what is to be held; how many events were sent."""
        before = self.sent
        if self._halted or self._doubtful:
            for event in parcel.events:
                self._send_or_hold(event)
            if lane in self._doubtful and parcel.place >= self._doubtful[lane]:
                self.trust(lane)
        else:
            self._send_quickly(parcel.events)
        return self.sent - before

    def _send_quickly(self, events: Sequence[Event]) -> None:
        before = self._producer.sent
        try:
            self._producer.send_all(events, self.partition)
        except PoisonEventError as error:
            place = self._producer.sent - before
            self._halt(events[place], str(error))
            for later in events[place + 1 :]:
                self._send_or_hold(later)

    def _send_or_hold(self, event: Event) -> None:
        key = event.topic, event.key
        if key in self._halted:
            if halting.hold(event):
                return
            self._halted.discard(key)
        try:
            self._producer.send(event, self.partition(event))
            if self._doubtful:
                self._settle_alone()
        except PoisonEventError as error:
            self._halt(event, str(error))

    def _halt(self, event: Event, reason: str) -> None:
        halting.halt(event, reason=reason)
        self._halted.add((event.topic, event.key))

    # When something was refused

    def be_careful(self, in_flight: Mapping[int, Place]) -> None:
        """
        Something in flight was refused: with a new producer, send each event alone for as long as it may be the one.

        Args:
            in_flight: the last place of each lane that has any; all of them are to begin again where they were saved.
        """
        for lane, place in in_flight.items():
            self._doubtful[lane] = max(place, self._doubtful.get(lane, place))
        self._new_producer()

    def trust(self, lane: int) -> None:
        """Nothing more of a lane's batch can be what was refused, or it is not ours any more."""
        self._doubtful.pop(lane, None)

    def _settle_alone(self) -> None:
        try:
            done = self._producer.flush(ALONE_SECONDS)
        except RefusedError as error:
            self._new_producer()
            raise PoisonEventError(str(error)) from error
        if not done:
            raise UnrecoverableError(f"The broker has acknowledged nothing for {ALONE_SECONDS:.0f} s.")

    def _new_producer(self) -> None:
        self._before = self.settled = self.sent
        self._producer.close()
        self._producer = self._connect()

    # Halted keys

    def mind_halted(self) -> None:
        """Hear, every second, of keys that others halted; send what is held of those that were released."""
        now = time.monotonic()
        if now < self._halted_at:
            return
        self._halted_at = now + HALTED_SECONDS
        self._halted = halting.halted_keys()
        if self._halted and self._sends_held:
            self._send_released()

    def _send_released(self) -> None:
        released = halting.released_keys()
        if not released or not self._producer.flush(HELD_SECONDS):  # what is refused is to be one of these
            return
        for key in released:
            halting.send_held(key, self._send_alone)
        self._halted = halting.halted_keys()

    def _send_alone(self, events: Sequence[Event]) -> Refusal | None:
        """One after the other, each acknowledged before the next; the first that is refused."""
        for event in events:
            try:
                self._producer.send(event, self.partition(event))
                self._settle_alone()
            except PoisonEventError as error:
                return Refusal(event, str(error))
        return None
