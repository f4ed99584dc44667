"""What machines ask: is it alive, is it ready, what has it counted. Also when a server is frozen."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.db import connection

from config import readiness
from config.embedded.place import place_open
from tests.conftest import Manage
from tests.serving import Site


def get(url: str, *, timeout: float = 10, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, whatever the status."""
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def test_a_live_process_is_healthy_and_ready(serve: Callable[..., Site]) -> None:
    site = serve()
    assert get(f"{site.url}/healthz")[0] == 200
    status, headers, body = get(f"{site.url}/readyz")
    assert (status, json.loads(body)) == (200, {"status": "ready", "database": "ok", "cache": "ok"})
    assert headers["Cache-Control"] == "no-store"


def test_probes_come_by_the_address_of_the_pod(serve: Callable[..., Site]) -> None:
    site = serve(env={"ALLOWED_HOSTS": "shop.example"})
    assert get(f"{site.url}/readyz", Host="10.1.2.3:8000")[0] == 200
    assert get(f"{site.url}/metrics", Host="10.1.2.3:8000")[0] == 200
    assert get(f"{site.url}/docs", Host="10.1.2.3:8000")[0] == 400


def test_probes_are_read_only(serve: Callable[..., Site]) -> None:
    site = serve()
    for path in ("/healthz", "/readyz", "/metrics"):
        request = urllib.request.Request(site.url + path, method="POST", data=b"")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert (refused.value.code, refused.value.headers["Allow"]) == (405, "GET, HEAD")
        refused.value.close()


def test_a_database_that_lacks_a_migration_is_not_ready(serve: Callable[..., Site], connect: Callable[[], Any]) -> None:
    site = serve()
    with connect().cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'ingestion' AND name = '0001_initial'")
    time.sleep(readiness.FRESH_SECONDS)
    status, headers, body = get(f"{site.url}/readyz")
    assert (status, headers["Content-Type"]) == (503, "application/problem+json")
    assert "ingestion.0001_initial" in json.loads(body)["detail"]


def test_a_database_that_knows_more_is_ready(serve: Callable[..., Site], connect: Callable[[], Any]) -> None:
    """In a rolling update the new migrations come first."""
    with connect().cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('ingestion', '9999_next', now())")
    assert get(f"{serve().url}/readyz")[0] == 200


def test_a_squashed_migration_counts_as_applied_when_all_that_it_replaces_are(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = (("ingestion", "0001_initial"), ("ingestion", "0002_uploads_and_tasks"))
    known = {("ingestion", "0001_squashed"): old}
    monkeypatch.setattr(readiness, "_known_migrations", lambda: known)
    assert readiness.missing_migrations() == ()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE (app, name) = %s", [old[1]])
    assert readiness.missing_migrations() == ("ingestion.0001_squashed",)


def test_readiness_knows_what_migrate_check_knows(database: str) -> None:
    assert readiness.missing_migrations() == ()
    assert ("ingestion", "0001_initial") in readiness._known_migrations()


@contextmanager
def frozen(environment: dict[str, str], service: str) -> Iterator[None]:
    """All processes of one of the private servers, stopped; they stand in its directory."""
    directory = str(place_open(Path(environment["SLUICE_LOCAL_DIR"])).state / service)
    found = [process for process in psutil.process_iter() if _stands_in(process, directory)]
    assert found
    for process in found:
        process.suspend()
    try:
        yield
    finally:
        for process in found:
            process.resume()


def _stands_in(process: psutil.Process, directory: str) -> bool:
    try:
        return process.cwd() == directory
    except psutil.Error:
        return False


def test_frozen_servers_are_told_within_two_seconds(
    private_services: dict[str, str], manage: Manage, serve: Callable[..., Site]
) -> None:
    """Without Postgres it is not ready, without Redis it is."""
    assert manage("migrate", "-v", "0", env=private_services).returncode == 0
    site = serve(env=private_services)
    assert json.loads(get(f"{site.url}/readyz")[2])["cache"] == "ok"
    time.sleep(readiness.FRESH_SECONDS)
    with frozen(private_services, "redis"):
        begun = time.monotonic()
        status, _, body = get(f"{site.url}/readyz")
        assert (status, json.loads(body)["cache"]) == (200, "unreachable")
        assert time.monotonic() - begun < 2.0
    time.sleep(readiness.FRESH_SECONDS)
    assert get(f"{site.url}/readyz")[0] == 200
    time.sleep(readiness.FRESH_SECONDS)
    with frozen(private_services, "postgres"):
        for _ in range(3):  # each one, not only the first
            begun = time.monotonic()
            status, _, body = get(f"{site.url}/readyz")
            assert (status, json.loads(body)["code"]) == (503, "not_ready")
            assert time.monotonic() - begun < 2.0
        assert get(f"{site.url}/healthz", timeout=2)[0] == 200
        begun = time.monotonic()
        assert b"sluice_database_up 0.0" in get(f"{site.url}/metrics")[2]
        assert time.monotonic() - begun < 3.0
    until = time.monotonic() + 10
    while get(f"{site.url}/readyz")[0] != 200:
        assert time.monotonic() < until
        time.sleep(0.2)
