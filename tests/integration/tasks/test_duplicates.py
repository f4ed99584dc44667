"""Of imports of the same bytes all but the first are marked, whichever is planned first and whoever is killed."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion import states
from ingestion.models import Chunk, Import, Source as SourceRow
from ingestion.slices import ChunkWork
from ingestion.steps import planning, run_steps
from tests.integration.tasks.conftest import Desk, csv_text, work_off

DATA = csv_text(range(40))


def started(desk: Desk, *, prepared: bool = True) -> Import:
    owner = desk.start(desk.upload(DATA))
    if prepared:
        assert run_steps(steps=["prepare"], import_id=owner.pk) == 1
    return owner


def test_planner_that_is_killed_at_its_end_leaves_the_mark_to_the_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both were prepared before either was planned, so only planning can tell."""
    first, second = started(desk), started(desk)
    run_steps(import_id=first.pk)

    def killed(*_: Any, **__: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(planning, "note_duplicate", killed)
        run_steps(import_id=second.pk)
    second.refresh_from_db()
    assert (second.planned_at, second.duplicate_of_id) == (None, None), "neither without the other"
    Import.objects.filter(pk=second.pk).update(step_lease_until=None)
    work_off()
    second.refresh_from_db()
    assert (second.state, second.duplicate_of_id) == (states.CANCELLED, first.pk)
    assert second.planned_at is not None
    assert second.certificate is not None
    assert not Chunk.objects.filter(owner=second).exclude(resolved_at=None).exists()


def test_import_whose_bytes_are_all_read_is_an_original_already(desk: Desk) -> None:
    """Its planner was killed, or has not said yet that it is done."""
    first = started(desk)
    run_steps(import_id=first.pk)
    Import.objects.filter(pk=first.pk).update(planned_at=None)
    second = started(desk, prepared=False)
    run_steps(import_id=second.pk)
    second.refresh_from_db()
    assert (second.state, second.duplicate_of_id) == (states.CANCELLED, first.pk)
    assert not SourceRow.objects.filter(owner=second).exists(), "not even planned"


def test_later_import_that_was_planned_first_is_marked_and_goes_on(desk: Desk) -> None:
    first = started(desk)
    second = started(desk)
    run_steps(import_id=second.pk)
    ChunkWork().run()
    second.refresh_from_db()
    assert (second.state, second.duplicate_of_id) == (states.COMPLETED, None)
    work_off()
    for owner in (first, second):
        owner.refresh_from_db()
    assert (first.state, first.duplicate_of_id) == (states.COMPLETED, None)
    assert (second.state, second.duplicate_of_id) == (states.COMPLETED, first.pk)


def test_what_was_asked_for_again_or_is_another_s_is_not_marked_later(desk: Desk, other_desk: Desk) -> None:
    first = started(desk)
    forced = desk.start(desk.upload(DATA), force=True)
    run_steps(import_id=forced.pk)
    theirs = other_desk.start(other_desk.upload(DATA))
    run_steps(import_id=theirs.pk)
    other = desk.start(desk.upload(csv_text(range(41))))
    work_off()
    assert Import.objects.get(pk=first.pk).state == states.COMPLETED
    for owner in (forced, theirs, other):
        assert Import.objects.get(pk=owner.pk).duplicate_of_id is None
