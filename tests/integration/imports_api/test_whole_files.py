"""PUT and POST of a whole file to /imports: one request from bytes to import."""

from typing import Any

import pytest

from ingestion import states
from ingestion.models import Import, Upload
from tests.integration.imports_api.scenes import BAD, GOOD, People, asked, body_of, load, loaded, uploaded


def put(people: People, data: bytes = GOOD, query: str = "", name: str = "alice", kind: str = "text/csv") -> Any:
    return people[name].generic("PUT", f"/imports{query}", data.decode(), content_type=kind)


def test_a_file_becomes_an_import_in_one_request(people: People) -> None:
    response = put(people, query="?profile=online-retail&filename=nightly.csv&on_conflict=update&max_errors=7")
    told = response.json()
    assert (response.status_code, response.headers["Location"]) == (202, f"/imports/{told['id']}")
    assert (told["state"], told["profile"], told["upload"]["filename"]) == ("queued", "online-retail", "nightly.csv")
    assert told["upload"]["length_bytes"] == told["upload"]["received_bytes"] == len(GOOD)
    rules = told["options"]["rules"]
    assert (rules["on_conflict"], rules["max_errors"]) == ("update", 7)
    assert Import.objects.get().created_by_id == "alice"


@pytest.mark.parametrize("kind", ["text/csv", "application/octet-stream", "application/x-www-form-urlencoded", ""])
def test_post_does_the_same_with_any_type_but_json(people: People, kind: str) -> None:
    """`curl --data-binary` says x-www-form-urlencoded."""
    response = people["alice"].generic("POST", "/imports", GOOD.decode(), content_type=kind)
    assert response.status_code == 202
    assert response.json()["upload"]["length_bytes"] == len(GOOD)


def test_the_same_bytes_again_are_the_same_import(people: People) -> None:
    first = put(people).json()
    again = put(people)
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    assert again.headers["Location"] == f"/imports/{first['id']}"
    # The second copy takes no room.
    assert list(Upload.objects.values_list("state", flat=True).order_by("created_at")) == ["complete", "terminated"]
    assert put(people, query="?on_conflict=update").status_code == 202
    assert put(people, BAD).status_code == 202
    assert put(people, name="dora").status_code == 202


@pytest.mark.usefixtures("commits")
def test_unless_forced(people: People) -> None:
    first = put(people).json()["id"]
    load(first)
    assert put(people).status_code == 200
    forced = put(people, query="?force=true")
    assert (forced.status_code, forced.json()["id"] > first) == (202, True)
    load(forced.json()["id"])
    assert Import.objects.get(pk=forced.json()["id"]).state == states.COMPLETED


@pytest.mark.usefixtures("commits")
def test_the_same_bytes_by_tus_and_as_a_whole(people: People) -> None:
    first = loaded(people["alice"], GOOD)
    assert put(people).json()["id"] == first
    # The other way round the workers find out: a tus upload has no hash of its own.
    whole = put(people, BAD).json()["id"]
    load(whole)
    again = asked(people["alice"], uploaded(BAD))["id"]
    load(again)
    told = people["alice"].get(f"/imports/{again}").json()
    assert (told["state"], told["duplicate_of"]) == ("cancelled", whole)
    assert told["links"]["duplicate_of"] == f"/imports/{whole}"


def test_without_start_it_waits(people: People) -> None:
    told = put(people, query="?start=false").json()
    assert told["state"] == "open"


def test_a_mapping_in_the_address(people: People) -> None:
    told = put(people, query="?map=sku=Artikel&map=item_name=").json()
    assert told["options"]["mapping"] == {"sku": "Artikel", "item_name": False}


@pytest.mark.usefixtures("commits")
def test_a_mended_file_names_its_parent(people: People) -> None:
    parent = put(people, BAD).json()["id"]
    load(parent)
    failed = body_of(people["alice"].get(f"/imports/{parent}/failed.csv"))
    mended = failed.replace(b"none", b"2").replace(b"free", b"3.50").replace(b"o4,,", b"o4,u4,")
    child = put(people, mended, query=f"?parent={parent}").json()
    load(child["id"])
    told = people["alice"].get(f"/imports/{parent}").json()
    assert (child["parent"], told["open_rejects"], told["children"]) == (parent, 0, [child["id"]])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?profil=webshop", "profil"),
        ("?on_conflict=replace", "on_conflict"),
        ("?max_errors=many", "max_errors"),
        ("?force=perhaps", "force"),
        ("?map=sku", "map.0"),
        ("?parent=-1", "parent"),
    ],
)
def test_nothing_is_stored_for_a_misspelled_address(people: People, query: str, field: str) -> None:
    response = put(people, query=query)
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert not Upload.objects.exists()


@pytest.mark.parametrize(
    ("name", "query", "status", "code"),
    [
        ("alice", "?profile=none-such", 404, "unknown_profile"),
        ("alice", "?map=skuu=x", 422, "invalid_profile"),
        ("alice", "?parent=77", 404, "import_not_found"),
        ("eve", "", 403, "permission_denied"),
        ("charlie", "", 403, "permission_denied"),
    ],
)
def test_or_for_what_is_refused(people: People, name: str, query: str, status: int, code: str) -> None:
    response = put(people, query=query, name=name)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert not Upload.objects.exists()


def test_an_unfinished_parent_is_refused_and_leaves_no_bytes(people: People) -> None:
    parent = put(people).json()["id"]
    refused = put(people, BAD, query=f"?parent={parent}")
    assert (refused.status_code, refused.json()["code"]) == (409, "parent_not_usable")
    assert not Upload.objects.filter(state="complete").exclude(imports=parent).exists()


def test_a_form_is_not_a_file(people: People) -> None:
    refused = people["alice"].post("/imports", {"file": "x"}, format="multipart")
    assert refused.status_code == 415


def test_what_json_does_not_say_may_stand_in_the_address(people: People) -> None:
    body = {"upload": str(uploaded(GOOD).pk), "max_errors": 3}
    url = "/imports?profile=online-retail&max_errors=5&start=false&map=sku=Artikel"
    told = people["alice"].post(url, body, format="json").json()
    assert (told["profile"], told["state"], told["options"]["mapping"]["sku"]) == ("online-retail", "open", "Artikel")
    assert told["options"]["rules"]["max_errors"] == 3
    assert people["alice"].post("/imports?profil=x", body, format="json").status_code == 400
