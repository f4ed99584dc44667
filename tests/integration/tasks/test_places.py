"""Big imports take neither all threads nor all memory of the process that prepares, plans and predicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ingestion import states
from ingestion.models import Chunk, Import
from ingestion.steps import preparing, run as run_module, run_steps
from ingestion.steps.claims import step_claim, steps_waiting
from ingestion.steps.duplicates import sha256_of
from ingestion.steps.places import NoPlaceError, dry_runs, followers, lasting, places_divide
from tests.integration.tasks.conftest import Desk, csv_text


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    kinds = (lasting, followers, dry_runs)
    limits = [kind.limit for kind in kinds]
    yield
    for kind, limit in zip(kinds, limits, strict=True):
        kind.limit = limit


def big(desk: Desk, data: bytes, **options: Any) -> Import:
    owner = desk.start(desk.upload(data), **options)
    Import.objects.filter(pk=owner.pk).update(queue="large")
    return owner


def is_planned(owner: Import) -> bool:
    owner.refresh_from_db()
    return owner.planned_at is not None


def test_two_threads_never_do_what_lasts() -> None:
    places_divide(threads=8)
    assert (lasting.limit, followers.limit) == (6, 4)
    places_divide(threads=1)
    assert (lasting.limit, followers.limit) == (1, 1)


def test_place_is_refused_when_all_are_taken_and_given_back_after_an_error() -> None:
    with lasting.taken(), pytest.raises(NoPlaceError), lasting.taken():
        pass
    with pytest.raises(ZeroDivisionError), lasting.taken():
        _ = 1 // 0
    assert lasting.free


def test_small_import_is_planned_while_big_ones_take_all_they_may(desk: Desk) -> None:
    large = big(desk, csv_text(range(50), prefix="b"))
    small = desk.start(desk.upload(csv_text(range(5))))
    with lasting.taken():
        run_steps()
        assert not is_planned(large)
        assert is_planned(small)
        assert not run_module.steps_to_do(), "no thread is begun for what has no place"
    assert steps_waiting() == [large.pk]
    run_steps()
    assert is_planned(large)


def test_dry_runs_of_a_process_run_one_at_a_time(desk: Desk) -> None:
    predicted = desk.start(desk.upload(csv_text(range(5))), dry_run=True)
    small = desk.start(desk.upload(csv_text(range(6))))
    with dry_runs.taken():
        run_steps()
        predicted.refresh_from_db()
        assert predicted.certificate is None
        assert is_planned(small)
    run_steps()
    predicted.refresh_from_db()
    assert predicted.state == states.COMPLETED
    assert dry_runs.free


def test_step_whose_place_went_to_another_thread_is_given_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = desk.start(desk.upload(csv_text(range(5))), dry_run=True)
    run_steps(steps=["prepare"])
    usual = step_claim

    def just_before_another(**options: Any) -> Any:
        claim = usual(**options)
        monkeypatch.setattr(dry_runs, "limit", 0)
        return claim

    monkeypatch.setattr(run_module, "step_claim", just_before_another)
    run_steps()
    owner.refresh_from_db()
    assert (owner.state, owner.step_attempts, owner.step_backend_pid) == (states.RUNNING, 0, None)


def test_pass_over_a_big_file_that_looks_known_keeps_nobody_from_preparing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = csv_text(range(50))
    first = desk.load(data)
    again = big(desk, data)
    free: list[bool] = []
    usual = sha256_of

    def looking(*args: Any, **options: Any) -> str:
        free.append(preparing._AT_ONCE.acquire(blocking=False) and preparing._AT_ONCE.acquire(blocking=False))
        preparing._AT_ONCE.release()
        preparing._AT_ONCE.release()
        assert not lasting.free, "it counts as what it is"
        return usual(*args, **options)

    monkeypatch.setattr(preparing, "sha256_of", looking)
    with lasting.taken():
        run_steps(import_id=again.pk)
    again.refresh_from_db()
    assert (again.state, again.step_attempts, again.step_backend_pid, free) == (states.QUEUED, 0, None, [])
    Import.objects.filter(pk=again.pk).update(step_lease_until=None)
    run_steps(import_id=again.pk)
    again.refresh_from_db()
    assert (again.duplicate_of_id, free) == (first.pk, [True])
    assert not Chunk.objects.filter(owner=again).exists()
