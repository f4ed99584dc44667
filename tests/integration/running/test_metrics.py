"""/metrics: of all processes together, and of what stands in Postgres."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from accounts.models import User
from config.metrics import exposition
from config.multiprocess import VARIABLE, MetricsDirectory
from ingestion import states
from ingestion.metrics import read_families
from ingestion.models import Chunk, Import, Upload
from tests.conftest import CHECKOUT
from tests.serving import Site

NOW = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """By name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(site: Site) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with urllib.request.urlopen(f"{site.url}/metrics", timeout=10) as answer:
        return samples(answer.read().decode())


def docs(site: Site, count: int) -> None:
    for _ in range(count):
        with urllib.request.urlopen(f"{site.url}/docs", timeout=10):
            pass


SEEN = (
    "django_http_responses_total_by_status_view_method_total",
    (("method", "GET"), ("status", "200"), ("view", "docs")),
)


def test_every_process_shows_what_all_have_counted(serve: Callable[..., Site]) -> None:
    site = serve(processes=2, threads=2)
    docs(site, 20)
    assert {scrape(site)[SEEN] for _ in range(6)} == {20.0}


def test_what_a_killed_process_has_counted_stays(serve: Callable[..., Site]) -> None:
    site = serve(processes=2, threads=2)
    docs(site, 10)
    site.kill_a_worker()
    until = time.monotonic() + 20
    while len(site.worker_pids()) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    docs(site, 5)
    assert scrape(site)[SEEN] == 15.0


def test_a_method_that_nobody_knows_is_one_label(serve: Callable[..., Site]) -> None:
    site = serve()
    for method in ("BREW", "WHEN", "PROPFIND"):
        request = urllib.request.Request(f"{site.url}/docs", method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        refused.value.close()
    methods = {dict(labels).get("method") for _, labels in scrape(site)}
    assert "<invalid method>" in methods
    assert not methods & {"BREW", "WHEN", "PROPFIND"}


def test_a_site_that_starts_forgets_what_the_dead_have_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead, alive = tmp_path / f"counter_{int(done.stdout)}.db", tmp_path / f"counter_{os.getpid()}.db"
    dead.touch()
    alive.touch()
    MetricsDirectory().forget_dead()
    assert (dead.exists(), alive.exists()) == (False, True)


def test_the_directory_goes_with_the_site(serve: Callable[..., Site]) -> None:
    site = serve()
    assert site.process is not None
    found = list(Path("/dev/shm").glob(f"sluice-metrics-{site.process.pid}-*"))
    assert len(found) == 1
    site.stop(signal.SIGTERM)
    assert not found[0].exists()


def make_import(user: User, **values: Any) -> Import:
    defaults = {"state": states.RUNNING, "queue": "large", "planned_at": NOW, "created_by": user, "created_at": NOW}
    return Import.objects.create(**{"options_hash": "", "fingerprint": "", **defaults, **values})


def make_chunks(owner: Import, *by_state: str) -> None:
    for number, state in enumerate(by_state):
        Chunk.objects.create(
            owner=owner, number=number, source=0, offset=0, length=1, first_record=1, records=1, first_line=1, lines=1,
            quoting="", state=state,
        )  # fmt: skip


@pytest.mark.django_db
def test_gauges_say_what_stands_in_the_tables() -> None:
    alice = User.objects.create_user("alice", email="alice@example.com")
    large = make_import(alice)
    make_chunks(large, states.PLANNED, states.PLANNED, states.CLAIMED, states.DONE)
    ended = make_import(alice, state=states.COMPLETED)
    make_chunks(ended, states.DONE)
    now = datetime.now(UTC)
    make_import(alice, state=states.QUEUED, queue="small", planned_at=None, created_at=now - timedelta(minutes=5))
    lease = now + timedelta(minutes=1)
    make_import(alice, state=states.QUEUED, queue="small", planned_at=None, created_at=now, step_lease_until=lease)
    Upload.objects.create(owner=alice, offset_bytes=700, expires_at=now, created_at=now)
    Upload.objects.create(owner=alice, state="expired", offset_bytes=900, expires_at=now, created_at=now)

    found = {
        (sample.name, *sample.labels.values()): sample.value for family in read_families() for sample in family.samples
    }
    assert found["sluice_imports", "running"] == 1
    assert found["sluice_imports", "queued"] == 2
    assert found["sluice_imports", "completed"] == 1
    assert found["sluice_imports", "paused"] == 0
    assert (found["sluice_work", "large", "waiting"], found["sluice_work", "large", "held"]) == (2, 1)
    assert (found["sluice_work", "small", "waiting"], found["sluice_work", "small", "held"]) == (0, 0)
    assert (found["sluice_work", "steps", "waiting"], found["sluice_work", "steps", "held"]) == (1, 1)
    assert found["sluice_imports_waiting", "small"] == 2
    assert 299 <= found["sluice_imports_waiting_seconds", "small"] < 330
    assert found["sluice_imports_waiting_seconds", "large"] == 0
    assert (found["sluice_uploads", "receiving"], found["sluice_uploads", "expired"]) == (1, 1)
    assert found["sluice_uploads_stored_bytes", "receiving"] == 700
    assert ("sluice_uploads_stored_bytes", "expired") not in found


def test_both_text_formats_are_spoken(database: str) -> None:
    body, content_type = exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    body, content_type = exposition("")
    assert content_type.startswith("text/plain")
    assert samples(body.decode())["sluice_database_up", ()] == 1.0


def test_commands_count_in_memory(database_url: str) -> None:
    script = "import django; django.setup(); from ingestion.metrics import count_chunk; count_chunk({'loaded': 3})"
    environment = {**os.environ, "DATABASE_URL": database_url, "SLUICE_LOCAL": "1"}
    environment |= {"DJANGO_SETTINGS_MODULE": "config.settings"}
    assert VARIABLE not in environment
    subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, env=environment, check=True)
