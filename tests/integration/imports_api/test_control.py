"""Start, pause, resume, cancel: what they do, that repeating them changes nothing, and who may."""

from pathlib import Path
from typing import Any

import pytest

from ingestion import states
from ingestion.clock import utc_now
from ingestion.models import Import
from ingestion.prepare import prepare as prepare_paths
from ingestion.profiles import load_profile
from ingestion.services import import_find_or_create
from ingestion.uploads.services import upload_terminate
from tests.integration.imports_api.scenes import GOOD, People, asked, begun, uploaded

ACTIONS = ("start", "pause", "resume", "cancel")
# From a state: what each action answers, and the state it leaves.
ALLOWED: dict[str, dict[str, int | str]] = {
    states.OPEN: {"start": "queued", "pause": 409, "resume": 409, "cancel": "cancelled"},
    states.UPLOADING: {"start": "uploading", "pause": 409, "resume": "uploading", "cancel": "cancelled"},
    states.QUEUED: {"start": "queued", "pause": "paused", "resume": "queued", "cancel": "cancelled"},
    states.RUNNING: {"start": "running", "pause": "paused", "resume": "running", "cancel": "cancelled"},
    states.PAUSED: {"start": "running", "pause": "paused", "resume": "running", "cancel": "cancelled"},
    states.COMPLETED: {"start": 409, "pause": 409, "resume": 409, "cancel": 409},
    states.COMPLETED_WITH_REJECTS: {"start": 409, "pause": 409, "resume": 409, "cancel": 409},
    states.FAILED: {"start": 409, "pause": 409, "resume": 409, "cancel": 409},
    states.CANCELLED: {"start": 409, "pause": 409, "resume": 409, "cancel": "cancelled"},
}


def do(people: People, name: str, import_id: int, action: str) -> Any:
    return people[name].post(f"/imports/{import_id}/{action}")


@pytest.fixture
def import_id(people: People) -> int:
    made: int = asked(people["alice"], uploaded(GOOD))["id"]
    return made


def test_every_state_is_in_the_table() -> None:
    assert tuple(ALLOWED) == states.ALL


@pytest.mark.parametrize("state", states.ALL)
@pytest.mark.parametrize("action", ACTIONS)
def test_what_may_be_done_in_which_state(people: People, import_id: int, state: str, action: str) -> None:
    expected = ALLOWED[state][action]
    Import.objects.filter(pk=import_id).update(state=state)
    for _ in range(2):
        response = do(people, "alice", import_id, action)
        if isinstance(expected, int):
            assert response.status_code == expected
            assert response.json()["code"].startswith("import_not_")
            assert Import.objects.get(pk=import_id).state == state
        else:
            assert (response.status_code, response.json()["state"]) == (200, expected)
            assert Import.objects.get(pk=import_id).state == expected


def test_start_of_an_import_whose_upload_is_under_way(people: People) -> None:
    told = asked(people["alice"], begun(length=100), start=False)
    assert do(people, "alice", told["id"], "start").json()["state"] == "uploading"


def test_start_of_an_import_whose_bytes_are_gone(people: People) -> None:
    upload = uploaded(GOOD)
    told = asked(people["alice"], upload, start=False)
    # As pruning would, if the import were not there.
    Import.objects.filter(pk=told["id"]).update(state=states.CANCELLED)
    upload_terminate(upload_id=upload.pk)
    Import.objects.filter(pk=told["id"]).update(state=states.OPEN)
    refused = do(people, "alice", told["id"], "start")
    assert (refused.status_code, refused.json()["code"]) == (404, "upload_gone")


def test_resuming_gives_new_attempts(people: People, import_id: int) -> None:
    Import.objects.filter(pk=import_id).update(state=states.PAUSED, step_attempts=20, reason="The disk is full.")
    told = do(people, "alice", import_id, "resume").json()
    assert (told["state"], told["reason"]) == ("running", "")
    assert Import.objects.get(pk=import_id).step_attempts == 0


@pytest.mark.parametrize("action", ACTIONS)
def test_who_may(people: People, import_id: int, action: str) -> None:
    assert do(people, "bob", import_id, action).status_code == 404
    assert do(people, "charlie", import_id, action).status_code == 404
    assert do(people, "eve", import_id, action).status_code == 403
    assert Import.objects.get(pk=import_id).state == states.QUEUED
    assert do(people, "dora", import_id, action).status_code == 200


@pytest.mark.parametrize("action", ["start", "resume"])
def test_an_import_of_the_command_goes_on_where_its_file_is(people: People, tmp_path: Path, action: str) -> None:
    (tmp_path / "local.csv").write_bytes(GOOD)
    profile = load_profile("sluice")
    sources = prepare_paths([str(tmp_path / "local.csv")], profile=profile, spool_directory=tmp_path)
    owner, _ = import_find_or_create(sources=sources, profile=profile, now=utc_now())
    assert do(people, "dora", owner.pk, "pause").status_code == 200
    refused = do(people, "dora", owner.pk, action)
    assert (refused.status_code, refused.json()["code"]) == (409, "import_of_command")
    assert do(people, "dora", owner.pk, "cancel").json()["state"] == "cancelled"
