"""Read the outbox as a relay does, without a broker: what is sent is put into a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from orders.outbox.batches import Batch, close, lanes_with_news, load_entry, open_batch, read_runs, save
from orders.outbox.events import Event
from orders.outbox.expansion import expanded
from orders.outbox.lanes import ALL_LANES
from orders.outbox.leases import Lease, claim


@dataclass
class Reader:
    """A relay that holds all lanes, unless told otherwise."""

    owner: str = "reader"
    lanes: Sequence[int] = ALL_LANES
    page: int = 7
    events: list[Event] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)

    def claim(self) -> Reader:
        self.leases += claim(self.owner, lanes=self.lanes, most=len(ALL_LANES), seconds=600)
        return self

    def drain(self) -> list[Event]:
        """Send everything that is visible; returns what was sent by this call."""
        before = len(self.events)
        while with_news := lanes_with_news(self.leases):
            for lease in with_news:
                batch = open_batch(lease)
                if batch is not None:
                    self.send(lease, batch)
        return self.events[before:]

    def send(self, lease: Lease, batch: Batch) -> None:
        """All of a batch, saving after each page."""
        while runs := read_runs(batch, limit=self.page):
            for run in runs:
                sent = len(run.events)
                self.events += run.events
                if run.entry is not None:
                    begun = batch.after_event if not run.events else 0
                    rest = [event for _, event in expanded(load_entry(batch, run.entry), after_event=begun)]
                    sent += len(rest)
                    self.events += rest
                batch = save(lease, batch, after_id=run.last_id, acknowledged=sent)
        close(lease, batch)


def by_key(events: Sequence[Event]) -> dict[str, list[int]]:
    """Versions in the order in which they were sent."""
    found: dict[str, list[int]] = {}
    for event in events:
        found.setdefault(event.key, []).append(event.version)
    return found
