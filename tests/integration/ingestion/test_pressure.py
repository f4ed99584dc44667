"""Bulk imports wait between chunks while the outbox is too far behind, and still do at once what they are told."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ingestion import heartbeat, pressure
from ingestion.clock import utc_now
from ingestion.models import Chunk, Import, Source as SourceRow
from ingestion.pressure import Lag, Pressure
from ingestion.queue import chunk_heartbeat
from ingestion.selectors import import_progress
from ingestion.services import import_cancel, import_pause, import_start, job_of
from ingestion.worker import ChunkWorker, open_for_work
from orders.outbox.lanes import BULK_LANES
from orders.outbox.selectors import bulk_lag_seconds, lanes
from tests.integration.ingestion.driving import Driver

LIMIT = 30.0
HIGH, LOW = 31.0, 29.0
FILE = b"order_id,user_id,sku,quantity\n" + b"".join(b"o%d,u%d,lamp,1\n" % (n, n) for n in range(60))


class Told:
    """A lag that the test decides, and what happens when it is asked for the n-th time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = 0
        self.then: dict[int, Callable[[], Any]] = {}

    def __call__(self) -> float:
        self.asked += 1
        self.then.get(self.asked, lambda: None)()
        return self.seconds

    def fall(self) -> None:
        self.seconds = LOW


@pytest.fixture
def lag() -> Told:
    return Told(HIGH)


@pytest.fixture
def owner(driver: Driver) -> Import:
    """An import of several chunks that runs."""
    found = driver.prepare([FILE])
    assert Chunk.objects.filter(owner=found).count() > 4
    return found


def worker(owner: Import, lag: Told, **options: Any) -> ChunkWorker:
    sources = {row.number: open_for_work(row) for row in SourceRow.objects.filter(owner=owner)}
    limit = options.pop("limit", LIMIT)
    return ChunkWorker(
        job=job_of(owner), sources=sources, name="test", now=utc_now, **{"heartbeat": None, **options},
        pressure=Pressure(import_id=owner.pk, limit_seconds=limit, now=utc_now, lag=lag),
    )  # fmt: skip


def done(owner: Import) -> int:
    return Chunk.objects.filter(owner=owner, state="done").count()


def slowed_since(owner: Import) -> Any:
    return import_progress(import_id=owner.pk).slowed_since


def test_it_waits_until_the_outbox_has_caught_up(owner: Import, lag: Told) -> None:
    seen: list[Any] = []
    lag.then = {3: lambda: seen.extend([slowed_since(owner), done(owner)]), 4: lag.fall}
    begun = utc_now()
    worker(owner, lag).run()
    since, chunks = seen
    assert chunks == 0
    assert begun <= since <= utc_now()
    assert done(owner) == Chunk.objects.filter(owner=owner).count()
    assert slowed_since(owner) is None


def test_it_waits_between_two_chunks(owner: Import, lag: Told) -> None:
    """The first one was merged while all was well; what others wait for meanwhile is not held up."""
    lag.fall()

    def rise() -> None:
        lag.seconds = HIGH

    lag.then = {2: rise, 6: lambda: import_pause(import_id=owner.pk)}
    worker(owner, lag).run()
    assert done(owner) == 1
    assert Chunk.objects.filter(owner=owner, state="claimed").count() == 0


@pytest.mark.parametrize("stop", ["pause", "cancel"])
def test_what_is_stopped_while_it_waits_stops_at_once(owner: Import, lag: Told, stop: str) -> None:
    stops = {
        "pause": lambda: import_pause(import_id=owner.pk),
        "cancel": lambda: import_cancel(import_id=owner.pk, now=utc_now()),
    }
    lag.then = {2: stops[stop]}
    worker(owner, lag).run()
    assert lag.asked == 2
    assert done(owner) == 0
    if stop == "pause":
        import_start(import_id=owner.pk, now=utc_now())
        assert slowed_since(owner) is None


def test_a_process_that_is_to_end_ends_at_once(owner: Import, lag: Told) -> None:
    asked: list[int] = []
    lag.then = {2: lambda: asked.append(1)}
    worker(owner, lag, stop=lambda: bool(asked)).run()
    assert lag.asked == 2
    assert Chunk.objects.filter(owner=owner, state="claimed").count() == 0


def test_another_import_gets_its_turn(owner: Import, lag: Told) -> None:
    worker(owner, lag).run(leave=lambda: lag.asked >= 2)
    assert lag.asked == 2


def test_the_lease_of_the_next_chunk_is_kept_alive(owner: Import, lag: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was claimed and read while the one before was merged."""
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.05)
    lag.fall()
    beaten: list[int] = []

    def beat(*, claim: Any) -> bool:
        beaten.append(claim.number)
        return chunk_heartbeat(claim=claim)

    def rise() -> None:
        lag.seconds = HIGH
        beaten.clear()

    def enough() -> None:
        if 1 in beaten:
            lag.fall()

    lag.then = {2: rise} | dict.fromkeys(range(4, 400), enough)
    worker(owner, lag, heartbeat=beat).run()
    assert set(beaten) >= {1}
    assert done(owner) == Chunk.objects.filter(owner=owner).count()


def test_an_outbox_that_stands_still_makes_it_slow_but_does_not_end_it(
    owner: Import, lag: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pressure, "LONGEST_WAIT_SECONDS", 0.15)
    monkeypatch.setattr(pressure, "TICK_SECONDS", 0.02)
    since: list[Any] = []
    worker(owner, lag, after_chunk=lambda: since.append(slowed_since(owner))).run()
    assert done(owner) == Chunk.objects.filter(owner=owner).count()
    assert None not in since
    assert len(set(since)) == 1


def test_without_a_limit_nobody_asks(owner: Import, lag: Told) -> None:
    worker(owner, lag, limit=None).run()
    assert lag.asked == 0
    assert done(owner) == Chunk.objects.filter(owner=owner).count()


def test_what_a_dead_worker_said_is_taken_back(owner: Import, lag: Told) -> None:
    Import.objects.filter(pk=owner.pk).update(slowed_since=utc_now())
    lag.fall()
    worker(owner, lag).run()
    assert slowed_since(owner) is None


def test_the_lag_is_asked_for_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    asked: list[float] = []

    def ask() -> float:
        asked.append(clock[0])
        return 7.0

    lag = Lag(ask)
    assert [lag(), lag()] == [7.0, 7.0]
    clock[0] += 0.9
    lag()
    assert len(asked) == 1
    clock[0] += 0.2
    lag()
    assert len(asked) == 2


@pytest.mark.usefixtures("database")
def test_without_entries_there_is_no_lag() -> None:
    assert Lag(bulk_lag_seconds)() == 0


@pytest.mark.usefixtures("database")
def test_only_lanes_of_bulk_loads_are_asked() -> None:
    """Lanes of single orders may have a million entries, and each worker asks once a second."""
    with CaptureQueriesContext(connection) as asked:
        bulk_lag_seconds()
    assert f"ARRAY[{','.join(map(str, BULK_LANES))}]" in asked[0]["sql"].replace(" ", "")
    assert [lane.lane for lane in lanes(BULK_LANES)] == list(BULK_LANES)
