"""SIGTERM in the middle of an import: within seconds everything is given back, and nothing counts as a failure."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.storage import storages

from ingestion.models import Chunk, Import
from ingestion.states import CLAIMED, DONE
from tests.faults.scenery import messy_file
from tests.integration.tasks.conftest import Desk, desk_of, settled_profile, work_off
from tests.serving import Workers

SHUTDOWN_SECONDS = 30


@pytest.fixture
def crew(database: str, workers: Callable[..., Workers]) -> Workers:
    return workers(large=2)


@pytest.fixture
def desk(crew: Workers, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Its uploads lie where the workers look for them."""
    location = f"{crew.environment['MEDIA_ROOT']}/uploads"
    monkeypatch.setitem(settings.STORAGES["uploads"]["OPTIONS"], "location", location)
    monkeypatch.delitem(storages._storages, "uploads", raising=False)  # type: ignore[attr-defined]
    return desk_of("alice")


def test_workers_told_to_end_give_back_what_they_hold(crew: Workers, desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    messy_file(path, records=150_000, seed=3)
    owner = desk.start(desk.upload(path.read_bytes()), profile=settled_profile(max_error_ratio=1.0))
    assert owner.queue == "large"
    until = time.monotonic() + 60
    while not Chunk.objects.filter(owner=owner, state=DONE).exists():
        assert time.monotonic() < until, crew.log.read_text()[-4000:]
        time.sleep(0.02)
    started = time.monotonic()
    crew.stop(signal.SIGTERM, seconds=SHUTDOWN_SECONDS)
    assert time.monotonic() - started < SHUTDOWN_SECONDS
    assert [process.returncode for process in crew.processes] == [0] * len(crew.processes)
    assert not Chunk.objects.filter(owner=owner, state=CLAIMED).exists()
    assert not Chunk.objects.filter(owner=owner, attempts__gt=1).exists()
    assert Chunk.objects.exclude(state=DONE).exists() or Import.objects.get(pk=owner.pk).certificate, "it took long"
    work_off()
    owner.refresh_from_db()
    assert owner.state == "completed_with_rejects", owner.reason
    assert owner.certificate is not None
    assert owner.certificate["balanced"]
