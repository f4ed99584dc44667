"""POST /imports: from an upload to an import; the same again is the same; who may."""

import json
import uuid
from pathlib import Path

import jsonschema
import pytest

from ingestion import states
from ingestion.announcing import FAILED
from ingestion.models import Import, Upload
from ingestion.uploads.services import upload_terminate
from orders.outbox.models import Entry
from tests.integration.imports_api.scenes import BAD, GOOD, People, asked, begun, codes, load, loaded, send, uploaded


def test_an_upload_becomes_an_import_that_waits_for_a_worker(people: People) -> None:
    upload = uploaded(GOOD)
    response = people["alice"].post("/imports", {"upload": str(upload.pk)}, format="json")
    told = response.json()
    assert (response.status_code, response.headers["Location"]) == (202, f"/imports/{told['id']}")
    assert told["state"] == "queued"
    assert told["created_by"] == "alice"
    assert told["profile"] == "sluice"
    assert told["upload"]["id"] == str(upload.pk)
    assert told["sources"] == []
    owner = Import.objects.get(pk=told["id"])
    assert (owner.queue, owner.created_by_id, owner.prepared_at) == ("small", "alice", None)


def test_a_large_upload_does_not_keep_small_ones_waiting(people: People) -> None:
    told = asked(people["alice"], begun(length=9 << 20))
    assert Import.objects.get(pk=told["id"]).queue == "large"


def test_the_same_upload_with_the_same_options_is_the_same_import(people: People) -> None:
    upload = uploaded(GOOD)
    first = asked(people["alice"], upload)
    assert asked(people["alice"], upload, 200)["id"] == first["id"]
    other = asked(people["alice"], upload, on_conflict="update")
    assert other["id"] != first["id"]
    assert other["options"]["rules"]["on_conflict"] == "update"


@pytest.mark.usefixtures("commits")
def test_force_makes_another_only_when_the_first_has_ended(people: People) -> None:
    upload = uploaded(GOOD)
    first = asked(people["alice"], upload)
    assert asked(people["alice"], upload, 200, force=True)["id"] == first["id"]
    load(first["id"])
    assert asked(people["alice"], upload, 200)["id"] == first["id"]
    assert asked(people["alice"], upload, force=True)["id"] != first["id"]


@pytest.mark.parametrize("state", [states.FAILED, states.CANCELLED])
def test_what_was_stopped_is_not_the_same_import(people: People, state: str) -> None:
    upload = uploaded(GOOD)
    first = asked(people["alice"], upload)
    Import.objects.filter(pk=first["id"]).update(state=state)
    assert asked(people["alice"], upload)["id"] != first["id"]


def test_equal_bytes_of_another_upload_are_the_same_only_if_sha256_says_so(people: People) -> None:
    first = asked(people["alice"], uploaded(GOOD, sha256="a" * 64))
    assert asked(people["alice"], uploaded(GOOD, sha256="a" * 64), 200)["id"] == first["id"]
    assert asked(people["alice"], uploaded(GOOD, sha256="b" * 64))["id"] != first["id"]
    assert asked(people["alice"], uploaded(GOOD))["id"] != first["id"]


@pytest.mark.usefixtures("commits")
def test_an_upload_by_tus_is_known_by_the_hash_that_planning_found(people: People) -> None:
    first = loaded(people["alice"], GOOD)
    (sha256,) = Import.objects.get(pk=first).sources.values_list("sha256", flat=True)
    assert asked(people["alice"], uploaded(GOOD, sha256=sha256), 200)["id"] == first


def test_the_same_bytes_of_somebody_else_are_another_import(people: People) -> None:
    """What a roles column may give depends on who imports."""
    first = asked(people["alice"], uploaded(GOOD, sha256="a" * 64))
    assert asked(people["bob"], uploaded(GOOD, "bob", sha256="a" * 64))["id"] != first["id"]


@pytest.mark.usefixtures("commits")
def test_a_repeated_request_with_a_key_gets_the_first_answer(people: People) -> None:
    body = {"upload": str(uploaded(GOOD).pk), "force": True}
    first = people["alice"].post("/imports", body, format="json", headers={"Idempotency-Key": "k1"})
    load(first.json()["id"])
    again = people["alice"].post("/imports", body, format="json", headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.json(), again.headers["Location"]) == (
        202,
        first.json(),
        first.headers["Location"],
    )


def test_not_started_it_waits_for_its_start(people: People) -> None:
    upload = uploaded(GOOD)
    told = asked(people["alice"], upload, start=False)
    assert told["state"] == "open"
    started = people["alice"].post(f"/imports/{told['id']}/start")
    assert (started.status_code, started.json()["state"]) == (200, "queued")


def test_asking_again_with_start_starts_it(people: People) -> None:
    upload = uploaded(GOOD)
    told = asked(people["alice"], upload, start=False)
    again = asked(people["alice"], upload, 200)
    assert (again["id"], again["state"]) == (told["id"], "queued")


# While it is being uploaded

SETTLED = {
    "reading": {"encoding": "utf-8"},
    "formats": {"day_first": True, "decimal_separator": ".", "thousands_separators": [], "currency_signs": []},
}


@pytest.mark.usefixtures("commits")
def test_an_import_of_an_unfinished_upload_begins_with_its_last_byte(people: People) -> None:
    upload = begun(length=len(GOOD))
    told = asked(people["alice"], upload)
    assert told["state"] == "uploading"
    send(upload, GOOD[:20])
    assert people["alice"].get(f"/imports/{told['id']}").json()["upload"]["received_bytes"] == 20
    assert Import.objects.get(pk=told["id"]).state == "uploading"
    send(upload, GOOD[20:])
    assert Import.objects.get(pk=told["id"]).state == "queued"
    assert Import.objects.count() == 1
    assert load(told["id"])["loaded"] == 3


def test_an_import_that_was_not_started_does_not_begin_with_the_last_byte(people: People) -> None:
    upload = begun(length=len(GOOD))
    told = asked(people["alice"], upload, start=False)
    send(upload, GOOD)
    assert Import.objects.get(pk=told["id"]).state == "open"


def test_a_profile_that_settles_all_formats_may_be_ingested_while_it_arrives(people: People) -> None:
    upload = begun(length=len(GOOD))
    told = asked(people["alice"], upload, profile={"name": "settled", **SETTLED}, while_uploading=True)
    assert (told["state"], told["while_uploading"], told["reason"]) == ("uploading", True, "")


def test_one_that_leaves_something_to_evidence_waits_and_says_why(people: People) -> None:
    upload = begun(length=len(GOOD))
    told = asked(people["alice"], upload, while_uploading=True)
    assert (told["state"], told["while_uploading"]) == ("uploading", False)
    assert "reading.encoding" in told["reason"]
    send(upload, GOOD)
    assert people["alice"].get(f"/imports/{told['id']}").json()["reason"] == ""


# By itself


def test_a_complete_upload_is_imported_by_itself(people: People) -> None:
    uploaded(GOOD, start="auto", options={"on_conflict": "update"})
    owner = Import.objects.get()
    assert (owner.state, owner.created_by_id, owner.options["rules"]["on_conflict"]) == ("queued", "alice", "update")


def test_but_only_once(people: People) -> None:
    upload = begun(length=len(GOOD), start="auto")
    asked(people["alice"], upload, on_conflict="update")
    send(upload, GOOD)
    assert Import.objects.get().options["rules"]["on_conflict"] == "update"


def test_and_only_for_who_may_import(people: People) -> None:
    uploaded(GOOD, "charlie", start="auto")
    assert not Import.objects.exists()


def test_an_upload_whose_profile_is_gone_says_so_in_a_failed_import(people: People) -> None:
    upload = uploaded(GOOD, start="auto", profile="forgotten")
    assert upload.state == Upload.State.COMPLETE
    told = people["alice"].get("/imports").json()["results"][0]
    assert (told["state"], told["profile"]) == ("failed", "forgotten")
    assert "no profile 'forgotten'" in told["reason"]
    entry = Entry.objects.get()
    assert (entry.kind, entry.type, entry.key) == ("import", FAILED, str(told["id"]))
    data = json.loads(bytes(entry.payload))
    assert (data["state"], data["reason"], data["records"]) == ("failed", told["reason"], 0)
    schema = Path(__file__).parents[3] / "docs" / "events" / "import.v1.schema.json"
    jsonschema.validate(data, json.loads(schema.read_text()))


def test_a_dry_run_that_fails_at_once_tells_no_event(people: People) -> None:
    uploaded(GOOD, start="auto", profile="forgotten", options={"dry_run": True})
    assert (Import.objects.get().state, Import.objects.get().dry_run) == ("failed", True)
    assert not Entry.objects.exists()


# Refusals


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "upload"),
        ({"upload": "x"}, "upload"),
        ({"on_conflct": "update"}, "on_conflct"),
        ({"on_conflict": "replace"}, "on_conflict"),
        ({"max_errors": -1}, "max_errors"),
        ({"max_errors": "3"}, "max_errors"),
        ({"max_error_ratio": 2}, "max_error_ratio"),
        ({"force": "yes"}, "force"),
        ({"profile": 3}, "profile"),
        ({"mapping": {"sku": 3}}, "mapping.sku"),
        ({"parent": 0}, "parent"),
    ],
)
def test_a_request_that_says_something_else_is_told_where(people: People, body: dict[str, object], field: str) -> None:
    upload = {"upload": str(uploaded(GOOD).pk)} if body else {}
    response = people["alice"].post("/imports", {**upload, **body}, format="json")
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_an_unknown_profile_is_refused_with_a_hint(people: People) -> None:
    told = asked(people["alice"], uploaded(GOOD), 404, profile="sluise")
    assert told["code"] == "unknown_profile"
    assert "sluice" in told["detail"]


@pytest.mark.parametrize("name", ["/etc/passwd", "../sluice", "ingestion/profiles/builtin/sluice.toml"])
def test_a_profile_is_never_a_path(people: People, name: str) -> None:
    assert asked(people["alice"], uploaded(GOOD), 404, profile=name)["code"] == "unknown_profile"


def test_an_inline_profile_is_refused_with_all_its_problems(people: People) -> None:
    profile = {"rules": {"guest": "allow", "on_conflict": "replace"}}
    told = asked(people["alice"], uploaded(GOOD), 422, profile=profile)
    assert told["code"] == "invalid_profile"
    assert [error["field"] for error in told["errors"]] == ["rules.guest", "rules.on_conflict"]
    assert 'did you mean "guests"?' in told["errors"][0]["hint"]


def test_a_mapping_of_a_field_that_does_not_exist_is_refused(people: People) -> None:
    told = asked(people["alice"], uploaded(GOOD), 422, mapping={"skuu": "sku"})
    assert [error["field"] for error in told["errors"]] == ["mapping.skuu"]


def test_an_upload_that_is_not_there_or_gone(people: People) -> None:
    told = people["alice"].post("/imports", {"upload": str(uuid.uuid4())}, format="json")
    assert (told.status_code, told.json()["code"]) == (404, "upload_not_found")
    upload = uploaded(GOOD)
    upload_terminate(upload_id=upload.pk)
    assert asked(people["alice"], upload, 404)["code"] == "upload_gone"


def test_a_part_of_an_upload_is_not_imported(people: People) -> None:
    upload = uploaded(GOOD)
    Upload.objects.filter(pk=upload.pk).update(concatenation="partial")
    assert asked(people["alice"], upload, 409)["code"] == "upload_is_partial"


def test_who_may_import(people: People) -> None:
    upload = uploaded(GOOD)
    assert asked(people["charlie"], upload, 403)["code"] == "permission_denied"
    assert asked(people["eve"], upload, 403)["code"] == "permission_denied"
    assert asked(people["bob"], upload, 404)["code"] == "upload_not_found"
    told = asked(people["dora"], upload)
    assert told["created_by"] == "dora"


@pytest.mark.usefixtures("commits")
def test_a_parent_has_to_be_ones_own_and_complete(people: People) -> None:
    parent = loaded(people["alice"], BAD)
    mended = uploaded(GOOD)
    assert asked(people["alice"], mended, parent=parent)["parent"] == parent
    assert asked(people["bob"], uploaded(GOOD, "bob"), 404, parent=parent)["code"] == "import_not_found"
    assert asked(people["dora"], uploaded(GOOD, "dora"), parent=parent)["parent"] == parent
    unfinished = asked(people["alice"], uploaded(BAD))["id"]
    assert asked(people["alice"], mended, 409, parent=unfinished)["code"] == "parent_not_usable"
    assert codes([asked(people["alice"], mended, 404, parent=9_999)]) == ["import_not_found"]
