"""How an import stands: state, progress, counts, open rejects; lists, filters, who sees what; cheap polling."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ingestion import states
from ingestion.clock import utc_now
from ingestion.models import Chunk, Import
from ingestion.prepare import prepare as prepare_paths
from ingestion.profiles import load_profile
from ingestion.services import import_find_or_create
from ingestion.stages import plan as plan_module
from tests.integration.imports_api import scenes
from tests.integration.imports_api.scenes import BAD, GOOD, People, asked, begun, ids, load, loaded, send, uploaded


@pytest.mark.usefixtures("commits")
def test_a_finished_import_tells_what_its_certificate_says(people: People) -> None:
    import_id = asked(people["alice"], uploaded(BAD))["id"]
    certificate = load(import_id)
    told = people["alice"].get(f"/imports/{import_id}").json()
    assert told["state"] == "completed_with_rejects"
    assert told["outcomes"] == {name: certificate[name] for name in told["outcomes"]}
    assert told["outcomes"]["loaded"] == 1
    assert told["outcomes"]["rejected"] == 3
    assert told["errors"] == certificate["errors"] == {"invalid_decimal": 1, "invalid_integer": 1, "required": 1}
    progress = told["progress"]
    assert (progress["bytes_done"], progress["bytes_total"]) == (len(BAD), len(BAD))
    assert (progress["records_done"], progress["records_total"], progress["eta_seconds"]) == (4, 4, None)
    (source,) = told["sources"]
    assert (source["name"], source["bytes"], source["records"]) == ("orders.csv", len(BAD), 4)
    assert source["sha256"] == certificate["sha256"]
    assert source["dialect"]["delimiter"] == ","
    assert told["links"]["failed"] == f"/imports/{import_id}/failed.csv"


@pytest.mark.usefixtures("commits")
def test_progress_rate_and_time_left_are_those_of_the_chunks(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "CHUNK_BYTES", 40)
    monkeypatch.setattr(plan_module, "SMALLEST_CHUNK_BYTES", 40)
    data = scenes.csv(*(f"o{number},u1,lamp,1,9.50" for number in range(20)))
    owner = scenes.plan(scenes.prepare(Import.objects.get(pk=asked(people["alice"], uploaded(data))["id"])))
    seen = []
    scenes.work(owner, after_chunk=lambda: seen.append(people["alice"].get(f"/imports/{owner.pk}").json()["progress"]))
    chunks = list(Chunk.objects.filter(owner=owner).order_by("number"))
    assert len(seen) == len(chunks) > 3
    middle = seen[2]
    assert (middle["chunks_done"], middle["chunks_planned"]) == (3, len(chunks))
    assert middle["records_done"] == sum(chunk.records for chunk in chunks[:3])
    assert middle["records_total"] == 20
    assert middle["bytes_done"] == sum(chunk.length for chunk in chunks[:3])
    assert middle["bytes_total"] == sum(chunk.length for chunk in chunks)
    assert middle["bytes_per_second"] > 0
    left = (middle["bytes_total"] - middle["bytes_done"]) / middle["bytes_per_second"]
    assert middle["eta_seconds"] == pytest.approx(left, abs=1)


def test_the_rate_is_that_of_the_last_half_minute(people: People) -> None:
    import_id = asked(people["alice"], uploaded(GOOD))["id"]
    now = utc_now()
    Import.objects.filter(pk=import_id).update(
        state=states.RUNNING, started_at=now - timedelta(hours=1), prepared_at=now, planned_at=now
    )
    merged = [now - timedelta(minutes=10), now - timedelta(seconds=10), None]
    Chunk.objects.bulk_create(
        Chunk(
            owner_id=import_id,
            number=number,
            source=0,
            offset=number * 3000,
            length=3000,
            first_record=1 + number * 300,
            records=300,
            first_line=1,
            lines=300,
            quoting="none",
            state=states.DONE if at else states.PLANNED,
            merged_at=at,
        )
        for number, at in enumerate(merged)
    )
    progress = people["alice"].get(f"/imports/{import_id}").json()["progress"]
    assert (progress["bytes_per_second"], progress["records_per_second"]) == (100, 10)
    assert (progress["bytes_done"], progress["bytes_total"], progress["eta_seconds"]) == (6000, 9000, 30)


def test_polling_costs_little_and_notices_everything(people: People) -> None:
    upload = begun(length=len(GOOD))
    url = f"/imports/{asked(people['alice'], upload)['id']}"
    etag = people["alice"].get(url).headers["ETag"]
    with CaptureQueriesContext(
        connection,
    ) as asked_for:
        unchanged = people["alice"].get(url, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", etag)
    assert len([query for query in asked_for if "ingestion" in query["sql"]]) <= 3
    seen = {etag}
    for change in (
        lambda: send(upload, GOOD[:9]),
        lambda: send(upload, GOOD[9:]),
        lambda: people["alice"].post(f"{url}/pause"),
        lambda: people["alice"].post(f"{url}/cancel"),
    ):
        change()
        changed = people["alice"].get(url, headers={"If-None-Match": etag})
        assert changed.status_code == 200
        etag = changed.headers["ETag"]
        assert etag not in seen
        seen.add(etag)


def test_an_end_in_the_middle_of_an_answer_is_told_by_the_next(people: People) -> None:
    """The mark and what it stands for are read by several statements, and others commit between any two of them."""
    import_id = asked(people["alice"], uploaded(GOOD))["id"]
    url = f"/imports/{import_id}"
    statements: list[str] = []

    def ends_behind_the_first(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        result = execute(sql, parameters, many, context)
        if "ingestion_import" in sql and not statements:
            statements.append(sql)
            Import.objects.filter(pk=import_id).update(state=states.FAILED, ended_at=utc_now())
        return result

    with connection.execute_wrapper(ends_behind_the_first):
        first = people["alice"].get(url)
    assert statements
    polled = people["alice"].get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert (polled.status_code, polled.json()["state"]) == (200, "failed")


# Children and what is open


@pytest.mark.usefixtures("commits")
def test_a_child_closes_the_rejects_it_brings_in(people: People) -> None:
    alice = people["alice"]
    parent = loaded(alice, BAD)
    url = f"/imports/{parent}"
    assert alice.get(url).json()["open_rejects"] == 3
    etag = alice.get(url).headers["ETag"]

    half_mended = scenes.csv("o2,u2,bank,2,249.00", "o3,u1,lamp,1,free", "o4,u4,lamp,1,1.00")
    child = loaded(alice, half_mended, parent=parent)
    told = alice.get(url, headers={"If-None-Match": etag}).json()
    assert (told["open_rejects"], told["children"]) == (1, [child])
    assert alice.get(f"/imports/{child}").json()["open_rejects"] is None
    assert alice.get(f"/imports/{child}").json()["links"]["parent"] == url

    rest = loaded(alice, scenes.csv("o3,u1,lamp,1,3.50"), parent=child)
    told = alice.get(url).json()
    assert (told["open_rejects"], told["children"]) == (0, [child, rest])
    assert ids(alice.get(f"/imports?parent={parent}")) == [rest, child]


@pytest.mark.usefixtures("commits")
def test_a_dry_run_of_a_mended_file_closes_nothing(people: People) -> None:
    parent = loaded(people["alice"], BAD)
    asked(people["alice"], uploaded(GOOD), parent=parent, dry_run=True)
    told = people["alice"].get(f"/imports/{parent}").json()
    assert (told["open_rejects"], told["children"]) == (3, [])
    # Nor does it take line numbers away from the real one.
    real = asked(people["alice"], uploaded(GOOD), parent=parent)["id"]
    assert Import.objects.get(pk=real).line_base == 4


# Lists


def test_everybody_sees_their_own_and_staff_sees_all(people: People) -> None:
    hers = asked(people["alice"], uploaded(GOOD))["id"]
    his = asked(people["bob"], uploaded(GOOD, "bob"))["id"]
    assert ids(people["alice"].get("/imports")) == [hers]
    assert ids(people["bob"].get("/imports")) == [his]
    assert ids(people["dora"].get("/imports")) == ids(people["eve"].get("/imports")) == [his, hers]
    assert ids(people["charlie"].get("/imports")) == []
    assert people["bob"].get(f"/imports/{hers}").status_code == 404
    assert people["charlie"].get(f"/imports/{hers}").status_code == 404
    assert people["eve"].get(f"/imports/{hers}").status_code == 200
    assert people["alice"].get("/imports/999999999999999999999").status_code == 404


def test_imports_of_the_command_are_visible_to_staff(people: People, tmp_path: Path) -> None:
    (tmp_path / "local.csv").write_bytes(GOOD)
    profile = load_profile("sluice")
    sources = prepare_paths([str(tmp_path / "local.csv")], profile=profile, spool_directory=tmp_path)
    owner, _ = import_find_or_create(sources=sources, profile=profile, now=utc_now())
    told = people["eve"].get(f"/imports/{owner.pk}").json()
    assert (told["upload"], told["created_by"], told["progress"]["bytes_total"]) == (None, None, len(GOOD))
    assert people["alice"].get(f"/imports/{owner.pk}").status_code == 404


def test_filters_and_pages(people: People) -> None:
    alice = people["alice"]
    made = [asked(alice, uploaded(GOOD), max_errors=number)["id"] for number in range(5)]
    named = asked(alice, uploaded(GOOD), profile="online-retail")["id"]
    alice.post(f"/imports/{made[0]}/cancel")
    assert ids(alice.get("/imports?profile=online-retail")) == [named]
    assert ids(alice.get("/imports?state=cancelled")) == [made[0]]
    assert ids(alice.get("/imports?state=cancelled&state=queued&profile=sluice")) == made[::-1]
    assert ids(alice.get("/imports?ordering=id&limit=2")) == made[:2]
    assert ids(people["dora"].get("/imports?created_by=bob")) == []
    assert len(ids(people["dora"].get("/imports?created_by=alice"))) == 6
    page = alice.get("/imports?limit=4")
    assert ids(page) == [named, *made[:1:-1]]
    assert ids(alice.get(page.json()["next"])) == made[1::-1]
    wrong = alice.get("/imports?state=done")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "state")


def test_a_list_costs_as_many_queries_as_one_import(people: People) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked_for:
            assert people["alice"].get("/imports").status_code == 200
        return len(asked_for)

    asked(people["alice"], uploaded(GOOD))
    one = queries()
    for number in range(5):
        asked(people["alice"], uploaded(GOOD), max_errors=number)
    assert queries() == one
