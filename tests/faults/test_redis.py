"""A frozen and a restarted Redis lose no import and stall nobody for a minute; SIGTERM ends workers in time."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings

from ingestion.models import Import
from ingestion.states import ENDED
from tests.integration.tasks.conftest import Desk, csv_text, desk_of
from tests.redis_server import OwnRedis
from tests.serving import Workers

STALL_SECONDS = 60
SHUTDOWN_SECONDS = 30


@pytest.fixture
def crew(own_redis: OwnRedis, database: str, workers: Callable[..., Workers]) -> Workers:
    """Workers whose messages go through a Redis of the test's own."""
    return workers(sweep_seconds=1, env={"TASKS_REDIS_URL": own_redis.url, "TASKS_REDIS_TIMEOUT_SECONDS": "0.5"})


@pytest.fixture
def desk(database: str, crew: Workers, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Its uploads lie where the workers look for them."""
    from django.core.files.storage import storages

    location = f"{crew.environment['MEDIA_ROOT']}/uploads"
    monkeypatch.setitem(settings.STORAGES["uploads"]["OPTIONS"], "location", location)
    monkeypatch.delitem(storages._storages, "uploads", raising=False)  # type: ignore[attr-defined]
    return desk_of("alice")


def seconds_until_done(owner: Import, crew: Workers) -> float:
    started = time.monotonic()
    while True:
        owner.refresh_from_db()
        if owner.state in ENDED and owner.certificate is not None:
            assert owner.state == "completed", owner.reason
            return time.monotonic() - started
        assert time.monotonic() - started < STALL_SECONDS, crew.log.read_text()[-4000:]
        time.sleep(0.1)


def test_redis_may_freeze_and_forget(own_redis: OwnRedis, crew: Workers, desk: Desk) -> None:
    """The messages of this process go to another Redis: whatever happens here, nobody is woken by them."""

    def load(prefix: str) -> float:
        return seconds_until_done(desk.start(desk.upload(csv_text(range(50), prefix=prefix))), crew)

    took: dict[str, Any] = {"at first": load("a")}
    own_redis.freeze()
    took["frozen"] = load("b")
    own_redis.thaw()
    own_redis.kill()
    took["away"] = load("c")
    own_redis.start()
    took["back, empty"] = load("d")
    own_redis.freeze()
    started = time.monotonic()
    crew.stop(signal.SIGTERM, seconds=SHUTDOWN_SECONDS)
    assert time.monotonic() - started < SHUTDOWN_SECONDS
    assert all(seconds < STALL_SECONDS for seconds in took.values()), took
