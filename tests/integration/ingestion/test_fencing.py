"""Who lost a chunk, or whose import was stopped, commits nothing; who is gone holds nothing up."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from config.kernel.errors import ApplicationError
from ingestion import states
from ingestion.clock import utc_now
from ingestion.job import Claim
from ingestion.models import Chunk, Import
from ingestion.queue import (
    ImportStoppedError,
    LeaseLostError,
    chunk_claim,
    chunk_heartbeat,
    chunk_is_abandoned,
    chunk_release,
)
from ingestion.services import import_cancel, import_fail, import_pause, import_start, job_of
from ingestion.worker import chunks
from tests.integration.ingestion.driving import Driver, csv_bytes, rows

Connect = Callable[[], Any]
FILE = csv_bytes([(f"o{number}", f"u{number}", "i", 1) for number in range(8)])
EVERYTHING = "SELECT (SELECT count(*) FROM orders_order), (SELECT count(*) FROM orders_orderline)"


def claim(owner: Import) -> Claim:
    found = chunk_claim(job=job_of(owner), worker="test")
    assert found is not None
    return found


def hand_over(owner: Import) -> None:
    """Make the holder of every claimed chunk somebody whose backend is gone."""
    Chunk.objects.filter(owner=owner, state=states.CLAIMED).update(backend_pid=1)


def test_worker_whose_chunk_was_taken_over_commits_nothing(driver: Driver) -> None:
    owner = driver.prepare([FILE], target_bytes=30)
    lost = claim(owner)
    hand_over(owner)
    taken = claim(owner)
    assert (taken.number, taken.token) == (lost.number, lost.token + 1)
    worker = driver.worker(owner)
    with pytest.raises(LeaseLostError):
        worker.process(lost)
    assert rows(EVERYTHING) == [(0, 0)]
    driver.worker(owner).process(taken)
    with pytest.raises(LeaseLostError):
        worker.process(lost)
    assert not chunk_heartbeat(claim=lost)
    chunk_release(claim=lost)
    assert Chunk.objects.get(pk=lost.id).state == states.DONE


def test_worker_whose_chunk_was_taken_over_after_resolving_commits_nothing(driver: Driver) -> None:
    owner = driver.prepare([FILE], target_bytes=30)
    worker, lost = driver.worker(owner), claim(owner)
    work = worker.reader.read(lost)
    resolution = worker.resolver.resolve(work)
    assert not isinstance(resolution, str)
    hand_over(owner)
    driver.worker(owner).process(claim(owner))
    before = rows(EVERYTHING)
    with pytest.raises(LeaseLostError):
        worker.merger.merge(work, resolution)
    assert rows(EVERYTHING) == before


@pytest.mark.parametrize(
    "stop",
    [
        lambda number: import_pause(import_id=number),
        lambda number: import_cancel(import_id=number, now=utc_now()),
        lambda number: import_fail(import_id=number, now=utc_now(), reason="A test."),
    ],
    ids=["pause", "cancel", "fail"],
)
def test_nothing_commits_after_a_stop(driver: Driver, stop: Callable[[int], Any]) -> None:
    owner = driver.prepare([FILE], target_bytes=30)
    worker, first, second = driver.worker(owner), claim(owner), claim(owner)
    work = worker.reader.read(first)
    resolution = worker.resolver.resolve(work)
    assert not isinstance(resolution, str)
    stop(owner.pk)
    with pytest.raises(ImportStoppedError):
        worker.merger.merge(work, resolution)
    with pytest.raises(ImportStoppedError):
        driver.worker(owner).resolver.resolve(worker.reader.read(second))
    assert chunk_claim(job=job_of(owner), worker="test") is None
    assert rows(EVERYTHING) == [(0, 0)]
    assert rows("SELECT count(*) FROM outbox_entry WHERE kind <> 'import'") == [(0,)]


def test_cancel_waits_for_the_merge_that_holds_the_import(driver: Driver, connect: Connect) -> None:
    owner = driver.prepare([FILE], target_bytes=30)
    other = connect()
    other.autocommit = False
    with other.cursor() as cursor:
        cursor.execute("SELECT state FROM ingestion_import WHERE id = %s FOR SHARE", [owner.pk])
        with connection.cursor() as ours:
            ours.execute("SET lock_timeout = '200ms'")
        with pytest.raises(OperationalError):
            import_cancel(import_id=owner.pk, now=utc_now())
    other.rollback()
    import_cancel(import_id=owner.pk, now=utc_now())


def test_chunk_of_a_dead_backend_is_free_at_once(driver: Driver, connect: Connect) -> None:
    owner = driver.prepare([FILE], target_bytes=30)
    held = claim(owner)
    assert not chunk_is_abandoned(import_id=owner.pk, number=held.number)
    connection.close()
    for _ in range(100):
        if chunk_is_abandoned(import_id=owner.pk, number=held.number):
            break
    again = claim(owner)
    assert (again.number, again.token) == (held.number, held.token + 1)


def test_chunk_of_a_frozen_worker_is_free_after_its_lease_and_its_backend_is_ended(
    driver: Driver, connect: Connect
) -> None:
    """The worker stopped inside a transaction: its backend would hold locks for ever."""
    owner = driver.prepare([FILE], target_bytes=30)
    frozen = connect()
    held = claim(owner)
    with frozen.cursor() as cursor:
        cursor.execute(
            "UPDATE ingestion_chunk SET backend_pid = pg_backend_pid(), backend_start ="
            " (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()) WHERE id = %s",
            [held.id],
        )
        frozen.autocommit = False
        cursor.execute("INSERT INTO orders_item (sku, name, created_at, updated_at) VALUES ('i', '', now(), now())")
    assert claim(owner).number == held.number + 1, "a live worker keeps its chunk while its lease runs"
    assert chunk_heartbeat(claim=held)
    Chunk.objects.filter(pk=held.id).update(lease_until="2020-01-01T00:00:00Z")
    taken = claim(owner)
    assert (taken.number, taken.token) == (held.number, held.token + 1)
    with pytest.raises((psycopg2.OperationalError, psycopg2.InterfaceError)), frozen.cursor() as cursor:
        cursor.execute("SELECT 1")
    driver.worker(owner).process(taken)


def test_chunk_that_fails_again_and_again_ends_the_import(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = driver.prepare([FILE], target_bytes=30)
    worker = driver.worker(owner)
    monkeypatch.setattr(chunks, "MAX_ATTEMPTS", 2)
    monkeypatch.setattr(worker.merger, "merge", lambda *_: 1 // 0)
    worker.run()
    owner.refresh_from_db()
    assert owner.state == states.FAILED
    failed = re.fullmatch(r"Chunk (\d+) failed 2 times; .*", owner.reason)
    assert failed is not None
    assert "ZeroDivisionError" in Chunk.objects.get(owner=owner, number=int(failed[1])).last_error


@pytest.mark.parametrize("failure", [ValueError, OperationalError, DatabaseError, InterfaceError])
def test_what_a_rolled_back_resolve_taught_is_forgotten(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    """Else the worker would believe that users exist whom its transaction never committed."""
    owner = driver.prepare([FILE], target_bytes=30)
    worker = driver.worker(owner)
    usual = worker.resolver._mark_resolved
    failed: list[int] = []

    def fail_once(*given: Any) -> None:
        usual(*given)
        if len(failed) < 3:
            failed.append(1)
            raise failure("It did not commit.")

    monkeypatch.setattr(worker.resolver, "_mark_resolved", fail_once)
    worker.run()
    assert len(failed) == 3
    assert Chunk.objects.filter(owner=owner).exclude(state=states.DONE).count() == 0
    assert rows("SELECT count(*) FROM accounts_user") == [(8,)]
    assert rows(
        "SELECT count(*) FROM orders_order o WHERE NOT EXISTS (SELECT FROM accounts_user WHERE id = user_id)"
    ) == [(0,)]


@pytest.mark.parametrize("state", states.ALL)
def test_services_allow_what_the_states_allow(driver: Driver, state: str) -> None:
    owner = driver.prepare([FILE], target_bytes=30)
    services: dict[str, Callable[[], Any]] = {
        states.PAUSED: lambda: import_pause(import_id=owner.pk),
        states.CANCELLED: lambda: import_cancel(import_id=owner.pk, now=utc_now()),
        states.FAILED: lambda: import_fail(import_id=owner.pk, now=utc_now(), reason="A test."),
        states.RUNNING: lambda: import_start(import_id=owner.pk, now=utc_now()),
    }
    for target, service in services.items():
        Import.objects.filter(pk=owner.pk).update(state=state, ended_at=None)
        joined = state == target == states.RUNNING
        allowed = joined or target in states.TRANSITIONS[state]
        try:
            told = service()
        except ApplicationError:
            told = False
        assert (told is not False) == allowed, f"{state} → {target}"
        assert Import.objects.get(pk=owner.pk).state == (target if allowed else state)
