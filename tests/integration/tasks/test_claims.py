"""Who lost a step commits nothing; who is gone holds nothing up; who fails again and again ends the import."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from django.db import connection, transaction

from ingestion import shutdown, states
from ingestion.clock import utc_now
from ingestion.control import import_hold, import_resume
from ingestion.models import Chunk, Import, Source as SourceRow
from ingestion.steps import claims, run as run_module, run_steps
from ingestion.steps.claims import (
    Keeper,
    StepClaim,
    StepLostError,
    StepStoppedError,
    hold,
    step_claim,
    step_release,
)
from ingestion.steps.planning import plan
from ingestion.steps.preparing import prepare
from ingestion.uploads.errors import StorageFullError, StorageUnavailableError
from tests.integration.tasks.conftest import Desk, csv_text, work_off

Connect = Callable[[], Any]


def claimed(**options: Any) -> StepClaim:
    found = step_claim(**options)
    assert found is not None
    return found


def hand_over(owner: Import, server: Any = None) -> None:
    """Make the holder of the step somebody else: another connection, or nobody who lives."""
    if server is None:
        Import.objects.filter(pk=owner.pk).update(step_backend_pid=1)
        return
    with server.cursor() as cursor:
        cursor.execute(
            "UPDATE ingestion_import SET step_backend_pid = pg_backend_pid(), step_backend_start ="
            " (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()) WHERE id = %s",
            [owner.pk],
        )


def test_step_is_claimed_once(desk: Desk, connect: Connect) -> None:
    owner = desk.start(desk.upload(csv_text(range(5))))
    claim = claimed()
    assert (claim.import_id, claim.step, claim.attempts) == (owner.pk, "prepare", 1)
    hand_over(owner, connect())
    assert step_claim() is None
    step_release(claim=claim, forgiven=True)
    assert claimed().attempts == 1


def test_step_of_a_dead_backend_is_free_at_once_and_its_holder_commits_nothing(desk: Desk) -> None:
    owner = desk.start(desk.upload(csv_text(range(5))))
    lost = claimed()
    hand_over(owner)
    taken = claimed()
    assert taken.token == lost.token + 1
    with Keeper(lost) as keeper, pytest.raises(StepLostError):
        prepare(lost, keeper)
    assert SourceRow.objects.count() == 0
    with Keeper(taken) as keeper:
        prepare(taken, keeper)
    assert SourceRow.objects.count() == 1
    step_release(claim=lost, done=True)
    owner.refresh_from_db()
    assert owner.step_backend_pid is not None, "who lost it cannot give it back"


def test_planner_that_lost_its_step_commits_no_chunk(desk: Desk) -> None:
    owner = desk.start(desk.upload(csv_text(range(5))))
    assert run_steps(steps=["prepare"]) == 1
    lost = claimed()
    assert lost.step == "plan"
    hand_over(owner)
    claimed()
    with Keeper(lost) as keeper, pytest.raises(StepLostError):
        plan(lost, keeper)
    assert Chunk.objects.count() == 0


def test_frozen_holder_is_ended_before_its_step_is_taken_over(desk: Desk, connect: Connect) -> None:
    """It stopped inside a transaction that holds the import's row."""
    owner = desk.start(desk.upload(csv_text(range(5))))
    claim = claimed()
    frozen = connect()
    hand_over(owner, frozen)
    frozen.autocommit = False
    with frozen.cursor() as cursor:
        cursor.execute("SELECT 1 FROM ingestion_import WHERE id = %s FOR SHARE", [owner.pk])
    assert step_claim() is None, "its lease still runs"
    frozen.rollback()
    Import.objects.filter(pk=owner.pk).update(step_lease_until="2020-01-01T00:00:00Z")
    with frozen.cursor() as cursor:
        cursor.execute("SELECT 1 FROM ingestion_import WHERE id = %s FOR SHARE", [owner.pk])
    taken = claimed()
    assert taken.token == claim.token + 1
    with pytest.raises((psycopg2.OperationalError, psycopg2.InterfaceError)), frozen.cursor() as cursor:
        cursor.execute("SELECT 1")


@pytest.mark.parametrize("state", [states.PAUSED, states.CANCELLED, states.FAILED, states.COMPLETED])
def test_step_of_a_stopped_import_writes_nothing(desk: Desk, state: str) -> None:
    owner = desk.start(desk.upload(csv_text(range(5))))
    claim = claimed()
    Import.objects.filter(pk=owner.pk).update(state=state)
    with transaction.atomic(), connection.cursor() as cursor, pytest.raises(StepStoppedError):
        hold(cursor, claim)


def test_keeper_tells_that_a_step_is_over(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    owner = desk.start(desk.upload(csv_text(range(5))))
    claim = claimed()
    Import.objects.filter(pk=owner.pk).update(step_lease_until="2020-01-01T00:00:00Z")
    with Keeper(claim) as keeper:
        _eventually(lambda: Import.objects.filter(pk=owner.pk, step_lease_until__gt=utc_now()).exists())
        assert not keeper.over
        import_hold(import_id=owner.pk)
        _eventually(lambda: keeper.over)


def _eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_step_that_fails_again_and_again_ends_the_import(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = desk.start(desk.upload(csv_text(range(5))))
    monkeypatch.setattr(run_module, "MAX_ATTEMPTS", 2)
    monkeypatch.setitem(run_module.STEPS, "prepare", lambda *_: 1 // 0)
    for attempt in (1, 2):
        assert run_steps() == 1
        owner.refresh_from_db()
        assert (owner.state, owner.step_attempts) == (states.QUEUED, attempt)
        assert "ZeroDivisionError" in owner.step_error
        assert owner.step_lease_until is not None, "it is not tried again at once"
        assert owner.step_lease_until > utc_now()
        Import.objects.filter(pk=owner.pk).update(step_lease_until=None)
    run_steps()
    owner.refresh_from_db()
    assert owner.state == states.FAILED
    assert owner.reason.startswith("Preparing failed 2 times. ZeroDivisionError")


def test_full_disk_pauses_the_import(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = desk.start(desk.upload(csv_text(range(5))))
    with monkeypatch.context() as patch:
        patch.setitem(run_module.STEPS, "plan", _raising(StorageFullError()))
        work_off()
    owner.refresh_from_db()
    assert owner.state == states.PAUSED
    assert "Make room" in owner.reason
    import_resume(import_id=owner.pk, now=utc_now())
    work_off()
    owner.refresh_from_db()
    assert (owner.state, owner.reason) == (states.COMPLETED, "")


def test_storage_that_does_not_answer_is_asked_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = desk.start(desk.upload(csv_text(range(5))))
    with monkeypatch.context() as patch:
        patch.setitem(run_module.STEPS, "prepare", _raising(StorageUnavailableError(reason="gone")))
        run_steps()
    owner.refresh_from_db()
    assert (owner.state, owner.step_attempts) == (states.QUEUED, 1)
    Import.objects.filter(pk=owner.pk).update(step_lease_until=None)
    work_off()
    owner.refresh_from_db()
    assert owner.state == states.COMPLETED


def _raising(error: Exception) -> Callable[..., None]:
    def step(*_: Any) -> None:
        raise error

    return step


def test_process_that_ends_gives_its_step_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = desk.start(desk.upload(csv_text(range(5))))
    run_steps(steps=["prepare"])
    usual = run_module.STEPS["plan"]

    def told_to_end(claim: StepClaim, keeper: Keeper) -> None:
        shutdown.ending.set()
        usual(claim, keeper)

    monkeypatch.setitem(run_module.STEPS, "plan", told_to_end)
    assert run_steps() == 1
    owner.refresh_from_db()
    assert (owner.planned_at, owner.step_attempts, owner.step_lease_until) == (None, 0, None)
    assert run_steps() == 0, "nothing is begun any more"
