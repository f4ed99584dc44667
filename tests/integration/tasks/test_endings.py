"""How a step that fails ends: it changes the import only while both are its own, and says why it fails for so long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ingestion import states
from ingestion.clock import utc_now
from ingestion.models import Import
from ingestion.reader import SourceUnavailable
from ingestion.services import import_pause
from ingestion.slices import ChunkWork
from ingestion.steps import run as run_module, run_steps
from ingestion.steps.claims import Keeper, StepClaim, step_claim
from ingestion.uploads.errors import StorageFullError
from tests.integration.tasks.conftest import Desk, csv_text

Step = Callable[[StepClaim, Keeper], None]


def after(happening: Callable[[int], object], error: Exception) -> Step:
    """A step during which something happens to its import before it fails."""

    def step(claim: StepClaim, keeper: Keeper) -> None:
        happening(claim.import_id)
        raise error

    return step


def taken_over(import_id: int) -> None:
    """Its holder was thought dead, and another has the step now."""
    Import.objects.filter(pk=import_id).update(step_backend_pid=1)
    assert step_claim(import_id=import_id) is not None


def running(desk: Desk) -> Import:
    owner = desk.start(desk.upload(csv_text(range(5))))
    assert run_steps(steps=["prepare"]) == 1
    return owner


UNREADABLE = SourceUnavailable("It is gone.", hint="Upload it again.")
ERRORS: dict[str, Exception] = {"fail": UNREADABLE, "pause": StorageFullError()}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_who_lost_a_step_neither_fails_nor_pauses_its_import(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    owner = running(desk)
    monkeypatch.setitem(run_module.STEPS, "plan", after(taken_over, error))
    assert run_steps(import_id=owner.pk) >= 1
    owner.refresh_from_db()
    assert (owner.state, owner.reason) == (states.RUNNING, "")
    assert owner.step_attempts == 2, "of whoever has it now"


def test_who_lost_a_step_does_not_give_it_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = running(desk)
    Import.objects.filter(pk=owner.pk).update(step_attempts=run_module.MAX_ATTEMPTS)
    usual = step_claim

    def lost_at_once(**options: Any) -> StepClaim | None:
        claim = usual(**options)
        if claim is not None:
            monkeypatch.setattr(run_module, "step_claim", lambda **_: None)
            taken_over(claim.import_id)
        return claim

    monkeypatch.setattr(run_module, "step_claim", lost_at_once)
    assert run_steps(import_id=owner.pk) == 1
    owner.refresh_from_db()
    assert (owner.state, owner.reason) == (states.RUNNING, "")


def test_import_that_was_paused_meanwhile_stays_paused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = running(desk)
    pause = after(lambda import_id: import_pause(import_id=import_id, reason="Alice asked."), UNREADABLE)
    monkeypatch.setitem(run_module.STEPS, "plan", pause)
    assert run_steps(import_id=owner.pk) == 1
    owner.refresh_from_db()
    assert (owner.state, owner.reason) == (states.PAUSED, "Alice asked.")
    assert (owner.step_attempts, owner.step_backend_pid) == (0, None)


@pytest.mark.parametrize("reason", ["", "Alice called it off."])
def test_import_says_why_its_certificate_is_not_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """Of one that ran, and of one that was stopped, whose own reason stays."""
    owner = desk.start(desk.upload(csv_text(range(5))))
    state = states.CANCELLED if reason else states.RUNNING
    many = 3_000  # so many that no doubled wait is a number any more
    with monkeypatch.context() as patch:
        patch.setitem(run_module.STEPS, "certify", after(lambda _: None, ValueError("ink is out")))
        run_steps()
        ChunkWork().run()
        ended_at = utc_now() if reason else None
        Import.objects.filter(pk=owner.pk).update(
            state=state, reason=reason, ended_at=ended_at, step_attempts=many, step_lease_until=None
        )
        for attempt in (many, many + 1):
            assert run_steps() == 1
            owner.refresh_from_db()
            assert (owner.state, owner.certificate, owner.step_attempts) == (state, None, attempt + 1)
            assert owner.step_error == "ValueError: ink is out"
            Import.objects.filter(pk=owner.pk).update(step_lease_until=None)
    assert (
        owner.reason
        == (
            f"{reason} The certificate could not be written yet, after {many + 1} attempts: "
            "ValueError: ink is out It is tried again."
        ).strip()
    )
    assert run_steps() == 1
    owner.refresh_from_db()
    assert owner.certificate is not None
    assert (owner.reason, owner.certificate["reason"], owner.step_attempts) == (reason, reason, 0)
    assert owner.state == (states.CANCELLED if reason else states.COMPLETED)
