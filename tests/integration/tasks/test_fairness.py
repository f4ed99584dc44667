"""Whose import a worker serves: people share, small goes first where it is asked for, nobody is served for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ingestion import slices, states
from ingestion.models import Chunk, Import
from ingestion.queue import chunk_claim
from ingestion.services import job_of
from ingestion.slices import ChunkWork, import_to_serve
from ingestion.stages import plan as plan_module
from ingestion.steps import run_steps
from ingestion.steps.claims import worker_name
from tests.integration.tasks.conftest import Desk, csv_text

Connect = Callable[[], Any]
BOTH = ("small", "large")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "CHUNK_BYTES", 400)
    monkeypatch.setattr(plan_module, "SMALLEST_CHUNK_BYTES", 400)


def planned(desk: Desk, prefix: str, *, queue: str = "large", orders: int = 200) -> Import:
    """A running import with chunks to be claimed."""
    owner = desk.start(desk.upload(csv_text(range(orders), prefix=prefix)))
    run_steps()
    Import.objects.filter(pk=owner.pk).update(queue=queue)
    assert owner.chunks.count() > 5
    return owner


def served(**options: Any) -> int | None:
    found = import_to_serve(**{"queues": BOTH, **options})
    return None if found is None else found[0]


def claim_elsewhere(owner: Import, server: Any, *, name: str) -> None:
    """Somebody else holds a chunk of it."""
    chunk = Chunk.objects.filter(owner=owner, state=states.PLANNED).order_by("number")[0]
    with server.cursor() as cursor:
        cursor.execute(
            "UPDATE ingestion_chunk SET state = 'claimed', token = token + 1, worker = %s, "
            "lease_until = now() + interval '1 minute', backend_pid = pg_backend_pid(), backend_start = "
            "(SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()) WHERE id = %s",
            [name, chunk.pk],
        )


def test_person_for_whom_fewest_work_is_served_first(desk: Desk, other_desk: Desk, connect: Connect) -> None:
    first, second = planned(desk, "a"), planned(other_desk, "b")
    assert served() == first.pk
    claim_elsewhere(first, connect(), name="other:1")
    assert served() == second.pk
    claim_elsewhere(second, connect(), name="other:2")
    claim_elsewhere(second, connect(), name="other:3")
    assert served() == first.pk


def test_two_imports_of_a_person_count_as_one(desk: Desk, other_desk: Desk, connect: Connect) -> None:
    first, _ = planned(desk, "a"), planned(desk, "b")
    theirs = planned(other_desk, "c")
    claim_elsewhere(first, connect(), name="other:1")
    assert served() == theirs.pk


def test_what_we_hold_ourselves_does_not_count_against_us(desk: Desk, other_desk: Desk) -> None:
    first, second = planned(desk, "a"), planned(other_desk, "b")
    assert chunk_claim(job=job_of(first), worker=worker_name()) is not None
    assert served() == first.pk
    assert second.pk


def test_person_served_longest_ago_is_served_first(desk: Desk, other_desk: Desk) -> None:
    first, second = planned(desk, "a"), planned(other_desk, "b")
    for owner, moment in ((first, "2026-01-01T00:00:02Z"), (second, "2026-01-01T00:00:01Z")):
        chunk = Chunk.objects.filter(owner=owner)[0]
        Chunk.objects.filter(pk=chunk.pk).update(state=states.DONE, merged_at=moment)
    assert served() == second.pk


def test_queues_are_served_in_the_order_given(desk: Desk, other_desk: Desk, connect: Connect) -> None:
    large, small = planned(desk, "a"), planned(other_desk, "b", queue="small")
    claim_elsewhere(small, connect(), name="other:1")
    assert served() == small.pk
    assert served(queues=["large"]) == large.pk
    assert served(queues=["small"]) == small.pk
    assert served(avoided=[small.pk]) == large.pk


def test_chunks_of_the_dead_can_be_claimed_and_those_of_the_living_cannot(desk: Desk, connect: Connect) -> None:
    owner = planned(desk, "a")
    Chunk.objects.filter(owner=owner).exclude(number=0).update(state=states.DONE, resolved_at="2026-01-01T00:00:00Z")
    server = connect()
    claim_elsewhere(owner, server, name="other:1")
    assert served() is None
    server.close()
    for _ in range(200):
        if served() == owner.pk:
            break
    assert served() == owner.pk


def test_paused_and_command_line_imports_are_not_served(desk: Desk) -> None:
    owner = planned(desk, "a")
    for change in ({"state": states.PAUSED}, {"state": states.RUNNING, "queue": ""}, {"dry_run": True}):
        Import.objects.filter(pk=owner.pk).update(**change)
        assert served() is None, change


def test_import_that_cannot_even_begin_keeps_nobody_waiting(
    desk: Desk, other_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, other = planned(desk, "a"), planned(other_desk, "b")
    Import.objects.filter(pk=broken.pk).update(options={})
    ChunkWork().run()
    assert Import.objects.get(pk=other.pk).state == states.COMPLETED
    assert Import.objects.get(pk=broken.pk).state == states.RUNNING


def test_who_is_told_while_another_thread_works_is_not_forgotten(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wake-up that comes just after the last look of the thread that works."""
    work = ChunkWork()
    late: list[Import] = []
    usual = work._serve_one

    def look() -> bool:
        found = usual()
        if not found and not late:
            late.append(planned(desk, "a"))
            work.run()  # another thread's wake-up: it returns at once
            assert Chunk.objects.filter(state=states.DONE).count() == 0
        return found

    monkeypatch.setattr(work, "_serve_one", look)
    work.run()
    assert Import.objects.get(pk=late[0].pk).state == states.COMPLETED


def test_one_worker_shares_its_time_between_two_people(
    desk: Desk, other_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slice by slice, so that the one who comes second does not wait for the end of the first."""
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)
    first, second = planned(desk, "a"), planned(other_desk, "b")
    ChunkWork().run()
    order = list(Chunk.objects.order_by("merged_at").values_list("owner_id", flat=True))
    half = order[: len(order) // 2]
    assert abs(half.count(first.pk) - half.count(second.pk)) <= 4
    assert {Import.objects.get(pk=owner.pk).state for owner in (first, second)} == {states.COMPLETED}
