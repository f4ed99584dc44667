"""
The relay's loop over a group of lanes.

Each step: hold the leases, save what was acknowledged, look for news when nothing is left to read, send a parcel of
each lane that has some. Never waits long in one place, so that leases are renewed in time and a signal is heeded.

What can go wrong, and what becomes of it:

- Postgres is away: forget what was read, try again; the broker may get again what was not saved, with the same ids.
- a lease was lost: the lane is dropped; whoever has it goes on where it was saved.
- an event is too large: it is held, with its key (`halting`).
- the broker refuses something that was thought to fit: begin again where it was saved with a new producer and one event
  at a time, so that it is known which one (`sending`).
- an entry cannot be read: its lane is halted with a reason, the others go on (`halted_lanes`).
- the producer cannot go on, or nothing is acknowledged for long: UnrecoverableError, and the process ends.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, InternalError, OperationalError, connection

from orders.outbox import leases
from orders.outbox.batches import close, lanes_with_news, open_batches, save, visible_now
from orders.outbox.halted_lanes import halt_lane
from orders.outbox.leases import Lease, LeaseLostError
from orders.outbox.models import Lane
from orders.outbox.partitioning import generations, partitioner
from orders.outbox.producers.interface import Producer, RefusedError
from orders.outbox.relay.feed import Feed, UnreadableError
from orders.outbox.relay.sending import Sender
from orders.outbox.relay.window import Mark, Window

log = structlog.get_logger(__name__)

PARCEL_EVENTS: Final = 1_000
CAREFUL_EVENTS: Final = 50
"""Of a parcel whose events go alone, so that leases are renewed in time."""
WINDOW_EVENTS: Final = 50_000
"""In flight at most, and a parcel more."""
WINDOW_BYTES: Final = 32 << 20
WAIT_SECONDS: Final = 0.05
"""For the broker, before the other things are looked after again."""
MOST_ASLEEP_SECONDS: Final = 0.5
"""Until it sees that it is told to end."""
CLAIM_SECONDS: Final = 3.0
BUSY_SECONDS: Final = 2.0
IDLE_FACTOR: Final = 4
GENERATIONS_SECONDS: Final = 10.0
"""Between two looks at how many partitions count; new ones are announced a minute before."""
DATABASE_ERRORS: Final = (OperationalError, InterfaceError, InternalError)
RETRY_SECONDS: Final = 0.5
FINISH_SECONDS: Final = 15.0
"""For what is in flight when the relay is told to end."""
MARGIN: Final = 0.2
"""Part of a lease at whose end nothing is sent any more."""


class Loop:
    """
    Args:
        name: of the group of lanes, for logs.
        lanes: that it may claim.
        owner: unlike those of all other loops.
        connect: makes a producer; raises UnrecoverableError.
        told_to_end: asked often.
        poll_seconds: between two looks for news; IDLE_FACTOR times as long when there was none for BUSY_SECONDS.
        sends_held: whether it also sends what was held of keys that were released.
    """

    def __init__(
        self,
        *,
        name: str,
        lanes: Sequence[int],
        owner: str,
        connect: Callable[[], Producer],
        told_to_end: Callable[[], bool],
        poll_seconds: float,
        sends_held: bool,
    ) -> None:
        self._log = log.bind(lanes=name)
        self._lanes = lanes
        self._owner = owner
        self._told_to_end = told_to_end
        self._poll_seconds = poll_seconds
        self._lease_seconds = float(settings.OUTBOX_LEASE_SECONDS)
        self._feeds: dict[int, Feed] = {}
        self._window = Window(most_bytes=WINDOW_BYTES)
        self._seen = ""  # a snapshot in which no idle lane had news
        self._claim_at = self._renew_at = self._news_at = self._found_at = self._generations_at = 0.0
        self._sender = Sender(connect, sends_held=sends_held, stall_seconds=float(settings.OUTBOX_STALL_SECONDS))
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-ahead")

    def run(self, *, until_empty: bool = False) -> None:
        """
        Relay until told to end, or until nothing is left.

        Raises:
            UnrecoverableError: the process is to be started again.
        """
        try:
            while not self._told_to_end():
                try:
                    if not self._step() and (until_empty and self._is_empty()):
                        break
                except DATABASE_ERRORS as error:
                    self._lose_database(error)
            self._finish()
        finally:
            self._sender.close()  # so that nothing more is sent when others have the lanes
            self._depart()
            self._ahead.submit(_disconnect)
            self._ahead.shutdown()
            connection.close()

    def _step(self) -> bool:
        """Whether there was anything to do; if not, it has waited a moment."""
        try:
            self._hold_leases()
            self._read_generations()
            saved = self._save_settled()
            self._sender.mind_halted()
            self._find_news()
            sent = self._send_parcels()
            if saved or sent:
                return True
            self._wait()
            return self._sender.in_flight > 0
        except LeaseLostError as error:
            self._lose(error.lanes)
        except RefusedError as error:
            self._be_careful(error)
        return True

    # Leases

    def _hold_leases(self) -> None:
        now = time.monotonic()
        if now >= self._renew_at and self._feeds:
            self._renew_at = now + self._lease_seconds / 3
            try:
                leases.renew([feed.lease for feed in self._feeds.values()], seconds=self._lease_seconds)
            except LeaseLostError as error:
                self._lose(error.lanes)
            for feed in self._feeds.values():
                feed.valid_until = now + self._lease_seconds * (1 - MARGIN)
        if now >= self._claim_at:
            self._claim_at = now + min(CLAIM_SECONDS, self._lease_seconds / 3)
            self._claim(now)

    def _claim(self, now: float) -> None:
        found = leases.claim(self._owner, lanes=self._lanes, most=len(self._lanes), seconds=self._lease_seconds)
        for lease in found:
            valid_until = now + self._lease_seconds * (1 - MARGIN)
            self._feeds[lease.lane] = Feed(lease, valid_until=valid_until, ahead=self._ahead)
            self._seen = ""
        if found:
            self._log.info("lanes_claimed", claimed=[lease.lane for lease in found], held=len(self._feeds))
        surplus = len(self._feeds) - leases.fair_share(self._owner, lanes=self._lanes)
        for feed in sorted(self._feeds.values(), key=lambda feed: feed.batch is not None)[: max(0, surplus)]:
            feed.leaving = True

    def _give_back(self, feed: Feed) -> None:
        """A lane that another relay is to have, or nobody; nothing of it is in flight, and all that was is saved."""
        if feed.unreadable:
            halt_lane(feed.lease, feed.unreadable)
        else:
            leases.release([feed.lease])
            self._log.info("lane_given_back", lane=feed.lease.lane)
        del self._feeds[feed.lease.lane]
        self._sender.trust(feed.lease.lane)

    def _lose(self, lanes: Sequence[int]) -> None:
        for lane in lanes:
            self._sender.trust(lane)
            if self._feeds.pop(lane, None) is not None:
                self._log.warning("lane_lost", lane=lane)

    def _begin_again(self, feed: Feed) -> None:
        """Go on where the lane was saved; what is in flight of it is sent again."""
        self._feeds[feed.lease.lane] = Feed(feed.lease, valid_until=feed.valid_until, ahead=self._ahead)
        self._seen = ""

    # Acknowledgements

    def _save_settled(self) -> bool:
        done: dict[int, tuple[Mark, int]] = {}
        for mark in self._window.take(self._sender.settle()):
            _, events = done.get(mark.feed.lease.lane, (mark, 0))
            done[mark.feed.lease.lane] = mark, events + mark.events
        for lane, (mark, events) in done.items():
            if self._feeds.get(lane) is mark.feed:  # else it was lost, or begun again
                try:
                    self._save(mark, events)
                except LeaseLostError as error:
                    self._lose(error.lanes)
        return bool(done)

    def _save(self, mark: Mark, events: int) -> None:
        feed, parcel = mark.feed, mark.parcel
        assert feed.batch is not None
        if feed.exhausted and not feed.pending:
            self._close(feed, events)
        else:
            feed.batch = save(
                feed.lease, feed.batch, after_id=parcel.after_id, after_event=parcel.after_event, acknowledged=events
            )

    def _close(self, feed: Feed, events: int) -> None:
        assert feed.batch is not None
        close(feed.lease, feed.batch, acknowledged=events)
        feed.forget()
        self._sender.trust(feed.lease.lane)
        self._seen = ""  # others may have looked for news meanwhile, without this lane

    # Sending

    def _find_news(self) -> None:
        now = time.monotonic()
        if now < self._news_at:
            return
        self._news_at = now + self._poll_seconds * (1 if now < self._found_at + BUSY_SECONDS else IDLE_FACTOR)
        idle = [feed for feed in self._feeds.values() if feed.batch is None and not feed.leaving]
        if not idle:
            return
        seen = visible_now()
        if seen == self._seen:
            return
        found = lanes_with_news([feed.lease for feed in idle])
        if not found:
            self._seen = seen
            return
        self._found_at = now
        for lane, batch in open_batches(found).items():
            self._feeds[lane].open(batch)

    def _send_parcels(self) -> bool:
        sent = False
        for feed in list(self._feeds.values()):
            if feed.leaving and not feed.pending:
                self._give_back(feed)
            elif feed.batch is not None and not feed.leaving and not feed.exhausted and self._has_room():
                sent = True
                self._send_parcel(feed)
        return sent

    def _has_room(self) -> bool:
        return self._sender.in_flight < WINDOW_EVENTS and not self._window.full

    def _send_parcel(self, feed: Feed) -> None:
        try:
            parcel = feed.next_parcel(limit=CAREFUL_EVENTS if self._sender.careful else PARCEL_EVENTS)
        except UnreadableError as error:
            feed.leaving, feed.unreadable = True, str(error)
            return
        if parcel is None:
            if not feed.pending:
                self._close(feed, 0)
            return
        if time.monotonic() >= feed.valid_until:  # this process was stopped: see first whether the lane is still ours
            self._begin_again(feed)
            self._renew_at = 0.0
            return
        sent = self._sender.send(feed.lease.lane, parcel)
        size_bytes = sum([len(event.data) for event in parcel.events])
        self._window.add(Mark(self._sender.sent, feed, parcel, sent, size_bytes))

    def _read_generations(self) -> None:
        now = time.monotonic()
        if now >= self._generations_at:
            self._generations_at = now + GENERATIONS_SECONDS
            self._sender.partition = partitioner(generations())

    # When something went wrong

    def _be_careful(self, error: RefusedError) -> None:
        """Begin again where it was saved, one event at a time for as many as may have been refused."""
        self._log.error("send_refused", error=str(error), in_flight=self._sender.in_flight)
        places = self._window.last_places()
        self._sender.be_careful({lane: place for lane, place in places.items() if lane in self._feeds})
        self._forget()

    def _forget(self) -> None:
        self._window.clear()
        for feed in list(self._feeds.values()):
            self._begin_again(feed)

    def _lose_database(self, error: Exception) -> None:
        self._log.warning("database_away", error=str(error).strip())
        connection.close()
        self._ahead.submit(_disconnect)
        self._forget()
        time.sleep(RETRY_SECONDS)

    # Beginning and end

    def _wait(self) -> None:
        if self._sender.in_flight:
            self._sender.wait(WAIT_SECONDS)
        else:
            time.sleep(max(0.0, min(MOST_ASLEEP_SECONDS, self._news_at - time.monotonic())))

    def _is_empty(self) -> bool:
        """No lane has anything to send, whoever has it; those that are halted as a whole do not count."""
        if self._sender.in_flight or any(feed.batch for feed in self._feeds.values()):
            return False
        lanes = Lane.objects.filter(lane__in=self._lanes, halted_reason="").values_list("lane", flat=True)
        return not lanes_with_news([Lease(lane, self._owner, 0) for lane in lanes])

    def _finish(self) -> None:
        """Save what is acknowledged in time."""
        try:
            self._sender.flush(FINISH_SECONDS)
            self._save_settled()
        except (*DATABASE_ERRORS, LeaseLostError, RefusedError) as error:
            self._log.warning("left_unsaved", error=str(error).strip())

    def _depart(self) -> None:
        """Give the lanes to others, who need not wait until the leases end; nor need this process, started again."""
        try:
            leases.depart(self._owner)
        except (DatabaseError, InterfaceError) as error:
            self._log.warning("lanes_not_given_back", error=str(error).strip())


def _disconnect() -> None:
    """Close the connection of the thread that calls this; it gets another one when it needs it."""
    connection.close()
