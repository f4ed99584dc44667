"""Rejects as pages and as files, the certificate, and what a stopped import did not process."""

import csv
import gzip
import io
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core import signing

from ingestion import states
from ingestion.clock import utc_now
from ingestion.control import import_call_off
from ingestion.models import Import, Reject, Source
from ingestion.rejectfiles import write_reject_files
from ingestion.services import import_fail
from ingestion.stages import plan as plan_module
from ingestion.stages.certify import SALT, import_certify
from ingestion.stages.plan import Planner
from ingestion.uploads.services import upload_terminate
from tests.integration.imports_api import scenes
from tests.integration.imports_api.scenes import (
    BAD,
    GOOD,
    People,
    asked,
    begun,
    body_of,
    codes,
    loaded,
    records,
    send,
    uploaded,
)

pytestmark = pytest.mark.usefixtures("commits")
HEADER_LINE = f"{scenes.HEADER}\n".encode()


def get(people: People, import_id: int, path: str, name: str = "alice", **headers: str) -> Any:
    return people[name].get(f"/imports/{import_id}/{path}", headers=headers or None)


# Rejects


def test_rejects_tell_where_each_error_stands(people: People) -> None:
    told = get(people, loaded(people["alice"], BAD), "rejects").json()
    assert codes(told["results"]) == ["invalid_integer", "invalid_decimal", "required"]
    second = told["results"][1]
    offset = BAD.index(b"o3,")
    assert (second["record"], second["line"], second["byte_offset"]) == (3, 4, offset)
    assert (second["column_number"], second["column_name"], second["value"]) == (5, "unit_price", "free")
    assert (second["raw"], second["raw_complete"], second["source"]) == ("o3,u1,lamp,1,free\n", True, "orders.csv")
    assert BAD[offset : offset + second["byte_length"]].decode() == second["raw"]


def test_rejects_come_in_pages_and_by_code(people: People) -> None:
    data = scenes.csv(*(f"o{number},u1,lamp,x,{'w' if number % 3 else 1}" for number in range(50)))
    import_id = loaded(people["alice"], data, max_error_ratio=1)
    everything = get(people, import_id, "rejects?limit=1000").json()["results"]
    pages: list[dict[str, Any]] = []
    url: str | None = f"/imports/{import_id}/rejects?limit=7"
    while url:
        page = people["alice"].get(url).json()
        pages += page["results"]
        url = page["next"]
    assert pages == everything
    assert len(everything) == Reject.objects.count() > 50
    code = everything[0]["code"]
    chosen = get(people, import_id, f"rejects?code={code}&limit=1000").json()["results"]
    assert chosen == [entry for entry in everything if entry["code"] == code]
    assert len(chosen) < len(everything)
    assert get(people, import_id, "rejects?code=nonsense").status_code == 400


def test_a_long_record_is_shown_by_its_beginning(people: People) -> None:
    name = "é" * 5000
    import_id = loaded(people["alice"], scenes.csv(f"o1,u1,lamp,x,1,{name}", header=f"{scenes.HEADER},item_name"))
    (told, *_) = get(people, import_id, "rejects").json()["results"]
    assert told["raw_complete"] is False
    assert f"o1,u1,lamp,x,1,{name}".startswith(told["raw"])
    assert len(told["raw"].encode()) in (4095, 4096)


def test_bytes_that_are_no_text_are_null_and_kept_in_the_file(people: People) -> None:
    data = scenes.csv("o1,u1,lamp,1,1") + b"o2,u1,la\xffmp,1,1\n"
    import_id = loaded(people["alice"], data, profile={"reading": {"encoding": "utf-8"}})
    (told,) = get(people, import_id, "rejects").json()["results"]
    assert (told["code"], told["raw"], told["raw_complete"]) == ("invalid_encoding", None, None)
    assert body_of(get(people, import_id, "failed.csv")) == HEADER_LINE + b"o2,u1,la\xffmp,1,1\n"


# Files


@pytest.mark.parametrize(
    "data",
    [
        BAD,
        BAD[:-1],
        b"\xef\xbb\xbf" + BAD,
        BAD.replace(b"\n", b"\r\n"),
        BAD.decode().encode("utf-16"),
        b"A report\n\n" + BAD,
        scenes.csv('o1,u1,lamp,x,"1', 'st line"', "o2,u2,bank,1,1"),
    ],
    ids=["plain", "no last line end", "byte order mark", "CRLF", "UTF-16", "preamble", "line break in a field"],
)
def test_failed_csv_is_what_the_command_writes(people: People, tmp_path: Path, data: bytes) -> None:
    import_id = loaded(people["alice"], data, max_error_ratio=1)
    failed, errors = write_reject_files(owner=Import.objects.get(pk=import_id), directory=tmp_path)
    response = get(people, import_id, "failed.csv")
    assert response.headers["Content-Type"] == "text/csv"
    assert response.headers["Content-Disposition"] == f'attachment; filename="import-{import_id}-failed.csv"'
    told = body_of(response)
    assert told == failed.read_bytes()
    assert body_of(get(people, import_id, "errors.csv")) == errors.read_bytes()
    # And each record stands in it as it stood in the file.
    for reject in Reject.objects.filter(position=0):
        assert data[reject.offset : reject.offset + reject.length] in told


def test_a_mended_failed_csv_loads(people: People) -> None:
    parent = loaded(people["alice"], BAD)
    failed = body_of(get(people, parent, "failed.csv"))
    mended = failed.replace(b"none", b"2").replace(b"free", b"3.50").replace(b"o4,,", b"o4,u4,")
    child = loaded(people["alice"], mended, parent=parent)
    assert people["alice"].get(f"/imports/{child}").json()["outcomes"]["loaded"] == 3
    assert people["alice"].get(f"/imports/{parent}").json()["open_rejects"] == 0


def test_errors_csv_is_harmless_in_a_spreadsheet(people: People) -> None:
    evil = ("=cmd|'/c calc'!A0", "+1+1", "-2+3", "@SUM(A1)", '"\t=1"', '"\r=1"')
    data = scenes.csv(*(f"o{number},u1,lamp,1,{value}" for number, value in enumerate(evil)))
    import_id = asked(people["alice"], uploaded(data, filename="=evil.csv"), max_error_ratio=1)["id"]
    scenes.load(import_id)
    response = get(people, import_id, "errors.csv")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(body_of(response).decode(), newline="")))
    assert len(rows) > len(evil)
    for cell in (cell for row in rows for cell in row):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell
    assert rows[1][0] == "'=evil.csv"


def test_files_with_different_headers_are_asked_for_one_by_one(people: People) -> None:
    import_id = loaded(people["alice"], BAD)
    first = Source.objects.get()
    Source.objects.create(
        owner_id=import_id,
        number=1,
        name="two.csv",
        descriptor=first.descriptor,
        dialect=first.dialect,
        preface=b"a;b\n",
    )
    Reject.objects.filter(code="required").update(source=1)
    refused = get(people, import_id, "failed.csv")
    assert (refused.status_code, refused.json()["code"]) == (409, "several_headers")
    first_link, second_link = refused.json()["links"]
    assert records(body_of(people["alice"].get(first_link))) == BAD.splitlines(keepends=True)[2:4]
    assert body_of(people["alice"].get(second_link)) == b"a;b\n" + BAD.splitlines(keepends=True)[4]
    assert get(people, import_id, "failed.csv?source=2").json()["code"] == "source_not_found"
    assert b"two.csv" in body_of(get(people, import_id, "errors.csv"))


def test_an_import_without_rejects_has_a_file_with_the_header(people: People) -> None:
    import_id = loaded(people["alice"], GOOD)
    assert body_of(get(people, import_id, "failed.csv")) == HEADER_LINE
    assert len(body_of(get(people, import_id, "errors.csv")).splitlines()) == 1


def test_clients_may_ask_for_csv_and_still_get_problems(people: People) -> None:
    import_id = loaded(people["alice"], BAD)
    assert get(people, import_id, "failed.csv", Accept="text/csv").status_code == 200
    missing = get(people, 999, "failed.csv", Accept="text/csv")
    assert (missing.status_code, missing.headers["Content-Type"]) == (404, "application/problem+json")
    head: Any = people["alice"].head(f"/imports/{import_id}/failed.csv")
    assert (head.status_code, b"".join(head.streaming_content)) == (200, b"")


@pytest.mark.slow
def test_large_reject_files_take_no_memory(people: People) -> None:
    """40,000 rejects of 600 bytes, and 80 of nearly 1 MiB: 100 MiB in a few."""
    import_id = loaded(people["alice"], BAD)
    Reject.objects.all().delete()
    Reject.objects.bulk_create(_rejects(import_id), batch_size=5_000)
    for path, least in (("failed.csv", 96 << 20), ("errors.csv", 2 << 20)):
        response = get(people, import_id, path)
        size, largest = 0, 0
        tracemalloc.start()
        for part in response.streaming_content:
            size += len(part)
            largest = max(largest, len(part))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert size > least
        assert largest < 3 << 20
        assert peak < 24 << 20, f"{path} took {peak >> 20} MiB"


def _rejects(import_id: int) -> Iterator[Reject]:
    for record in range(40_000):
        raw = (b"x" * 599 if record % 500 else b"y" * 1_000_000) + b"\n"
        yield Reject(
            owner_id=import_id, chunk=0, source=0, record=record + 1, position=0, line=record + 2, offset=record,
            length=len(raw), code="required", message="The value is blank.", value=None, raw=raw,
        )  # fmt: skip


@pytest.mark.parametrize("path", ["rejects", "failed.csv", "errors.csv", "certificate", "preview", "disagreements"])
def test_who_may_see_outcomes(people: People, path: str) -> None:
    import_id = loaded(people["alice"], BAD)
    told = {name: get(people, import_id, path, name).status_code for name in ("alice", "bob", "charlie", "dora", "eve")}
    assert told == {"alice": 200, "bob": 404, "charlie": 404, "dora": 200, "eve": 200}


# Certificate


def test_the_certificate_is_signed_and_checked_without_the_database(people: People) -> None:
    import_id = asked(people["alice"], uploaded(BAD))["id"]
    early = get(people, import_id, "certificate")
    assert (early.status_code, early.json()["code"]) == (409, "certificate_not_ready")
    assert "Retry-After" in early.headers
    certificate = scenes.load(import_id)
    response = get(people, import_id, "certificate")
    told = response.json()
    assert told["certificate"] == certificate
    assert signing.loads(told["signature"], salt=SALT) == certificate
    etag = response.headers["ETag"]
    assert get(people, import_id, "certificate", **{"If-None-Match": etag}).status_code == 304


def test_disagreements_and_chunks(people: People) -> None:
    header = f"{scenes.HEADER},user_name"
    import_id = loaded(people["alice"], scenes.csv("o1,u1,lamp,1,1,Ann", "o2,u1,lamp,1,1,Anne", header=header))
    (told,) = get(people, import_id, "disagreements").json()["results"]
    assert [told[name] for name in ("entity", "key", "field", "kept", "seen")] == ["user", "u1", "name", "Ann", "Anne"]
    assert get(people, import_id, "chunks").status_code == 403
    (chunk,) = get(people, import_id, "chunks", "eve").json()["results"]
    assert (chunk["state"], chunk["records"], chunk["outcomes"]["loaded"]) == ("done", 2, 2)


# Unprocessed


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "CHUNK_BYTES", 60)
    monkeypatch.setattr(plan_module, "SMALLEST_CHUNK_BYTES", 60)


LINES = [f"o{number},u{number},lamp,{'x' if number == 13 else 1},9.50" for number in range(30)]
MANY = scenes.csv(*LINES)


def stop_after(people: People, chunks: int, upload: Any, **options: Any) -> int:
    """Cancel an import when so many of its chunks are merged."""
    owner = scenes.plan(scenes.prepare(Import.objects.get(pk=asked(people["alice"], upload, **options)["id"])))
    done: list[None] = []

    def after_chunk() -> None:
        done.append(None)
        if len(done) == chunks:
            import_call_off(import_id=owner.pk, now=utc_now())

    scenes.work(owner, after_chunk=after_chunk)
    import_certify(import_id=owner.pk, now=utc_now(), active_seconds=1)
    return owner.pk


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_what_a_cancelled_import_left_over_can_be_loaded(people: People, pack: Callable[[bytes], bytes]) -> None:
    first = stop_after(people, 3, uploaded(pack(MANY)))
    told = people["alice"].get(f"/imports/{first}").json()
    assert told["state"] == "cancelled"
    assert 0 < told["outcomes"]["loaded"] < 29
    assert told["outcomes"]["loaded"] + told["outcomes"]["rejected"] + told["outcomes"]["unprocessed"] == 30
    rest = body_of(get(people, first, "unprocessed.csv"))
    assert MANY.endswith(rest.removeprefix(HEADER_LINE))
    assert len(records(rest)) == told["outcomes"]["unprocessed"]
    second = loaded(people["alice"], rest, on_conflict="update")
    both = [people["alice"].get(f"/imports/{import_id}").json()["outcomes"] for import_id in (first, second)]
    assert sum(outcomes["loaded"] for outcomes in both) == 29
    assert sum(outcomes["rejected"] for outcomes in both) == 1


@pytest.mark.usefixtures("small_chunks")
def test_of_the_chunk_that_tripped_a_limit_what_was_not_rejected_is_left_over(people: People) -> None:
    import_id = loaded(people["alice"], MANY, max_errors=0)
    told = people["alice"].get(f"/imports/{import_id}").json()
    assert (told["state"], told["outcomes"]["rejected"]) == ("failed", 1)
    rest = records(body_of(get(people, import_id, "unprocessed.csv")))
    assert len(rest) == told["outcomes"]["unprocessed"]
    failed = records(body_of(get(people, import_id, "failed.csv")))
    assert failed == [f"{LINES[13]}\n".encode()]
    assert not set(failed) & set(rest)
    merged = {f"{line}\n".encode() for line in LINES} - set(failed) - set(rest)
    assert len(merged) == told["outcomes"]["loaded"]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_what_was_not_planned_is_left_over_too(
    people: People, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = scenes.prepare(Import.objects.get(pk=asked(people["alice"], uploaded(pack(MANY)))["id"]))
    # The planner is killed after some chunks.
    flushed: list[None] = []

    def running() -> bool:
        flushed.append(None)
        return len(flushed) < 3

    monkeypatch.setattr(plan_module, "FLUSH_SECONDS", 0)
    with pytest.raises(plan_module.PlanStoppedError):
        Planner(owner=owner, now=utc_now, running=running).run()
    assert 0 < owner.chunks.count() < 10
    import_fail(import_id=owner.pk, now=utc_now(), reason="The planner was killed too often.")
    assert body_of(get(people, owner.pk, "unprocessed.csv")) == MANY


def test_an_import_that_never_began_leaves_everything_over(people: People) -> None:
    import_id = asked(people["alice"], uploaded(GOOD))["id"]
    people["alice"].post(f"/imports/{import_id}/cancel")
    assert body_of(get(people, import_id, "unprocessed.csv")) == GOOD


def test_also_of_an_upload_that_never_ended(people: People) -> None:
    upload = begun(length=1_000)
    import_id = asked(people["alice"], upload)["id"]
    send(upload, GOOD)
    people["alice"].post(f"/imports/{import_id}/cancel")
    assert body_of(get(people, import_id, "unprocessed.csv")) == GOOD


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("began", [True, False])
def test_without_the_bytes_it_says_so(people: People, began: bool) -> None:
    upload = uploaded(MANY)
    import_id = stop_after(people, 2, upload) if began else asked(people["alice"], upload)["id"]
    people["alice"].post(f"/imports/{import_id}/cancel")
    upload_terminate(upload_id=upload.pk)
    refused = get(people, import_id, "unprocessed.csv")
    assert (refused.status_code, refused.json()["code"]) == (404, "upload_gone")


@pytest.mark.parametrize("state", [states.QUEUED, states.PAUSED, states.COMPLETED])
def test_only_what_was_stopped_leaves_something_over(people: People, state: str) -> None:
    import_id = asked(people["alice"], uploaded(GOOD))["id"]
    Import.objects.filter(pk=import_id).update(state=state)
    refused = get(people, import_id, "unprocessed.csv")
    assert (refused.status_code, refused.json()["code"]) == (409, "import_not_stopped")
