"""Profiles by the API: kept by name, in JSON or TOML, refused with all their problems, changed by version."""

from typing import Any

import pytest

from ingestion.models import Import
from ingestion.profiles import builtin_names, load_profile
from tests.integration.imports_api.scenes import GOOD, People, asked, codes, uploaded

WEBSHOP = {
    "name": "webshop",
    "description": "Nightly export of the web shop",
    "mapping": {"sku": "Artikel", "item_name": ["Bezeichnung", "Name"], "user_age": False},
    "templates": {"order_id": "{Filiale}-{Beleg}"},
    "defaults": {"currency": "EUR"},
    "ids": {"user_prefix": "web-"},
    "formats": {"day_first": True, "time_zone": "Europe/Vienna", "decimal_separator": ","},
    "rules": {"guests": "allow", "on_conflict": "update", "max_errors": 1000},
}
TOML = """
name = "webshop"
[mapping]
sku = "Artikel"
item_name = ["Bezeichnung", "Name"]
[rules]
on_conflict = "update"
"""


def kept(people: People, name: str = "dora", body: Any = WEBSHOP) -> Any:
    return people[name].post("/profiles", body, format="json")


def test_a_profile_is_kept_and_used(people: People) -> None:
    made = kept(people)
    assert (made.status_code, made.headers["Location"]) == (201, "/profiles/webshop")
    told = people["alice"].get("/profiles/webshop")
    assert (told.json(), told.headers["ETag"]) == (made.json(), made.headers["ETag"])
    assert told.json()["mapping"] == WEBSHOP["mapping"]
    assert told.json()["rules"]["partial_orders"] == "load"  # a default, written out
    imported = asked(people["alice"], uploaded(GOOD), profile="webshop")
    assert imported["options"] == told.json()
    assert asked(people["alice"], uploaded(GOOD, profile="webshop"))["profile"] == "webshop"


def test_what_is_read_can_be_sent_back(people: People) -> None:
    kept(people)
    told = people["dora"].get("/profiles/webshop")
    put = people["dora"].put(
        "/profiles/webshop", told.json(), format="json", headers={"If-Match": told.headers["ETag"]}
    )
    assert (put.status_code, put.json()) == (200, told.json())


def test_toml_as_in_the_files_of_the_command(people: People) -> None:
    made = people["dora"].generic("POST", "/profiles", TOML, content_type="application/toml")
    assert made.status_code == 201
    assert made.json()["mapping"] == {"sku": "Artikel", "item_name": ["Bezeichnung", "Name"]}
    changed = people["dora"].generic(
        "PUT", "/profiles/webshop", "[rules]\nguests = 'allow'", content_type="application/toml",
        headers={"If-Match": made.headers["ETag"]},
    )  # fmt: skip
    assert (changed.status_code, changed.json()["rules"]["guests"], changed.json()["mapping"]) == (200, "allow", {})


@pytest.mark.parametrize(
    "text", ["name = webshop", "[mapping", "\udcff", 'name = "a"\nname = "b"', 'name = "a"\n[mapping]\nsku = "\\u0000"']
)
def test_toml_that_is_none(people: People, text: str) -> None:
    data: Any = text.encode(errors="surrogateescape")
    refused = people["dora"].generic("POST", "/profiles", data, content_type="application/toml")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_profile")
    assert refused.json()["errors"][0]["code"] == "invalid_toml"


def test_a_profile_that_cannot_be_used_is_refused_with_all_its_problems(people: People) -> None:
    refused = kept(people, body={"name": "Bad Name", "rules": {"guest": "allow", "max_errors": -1}, "colour": "red"})
    told = refused.json()
    assert (refused.status_code, told["code"]) == (422, "invalid_profile")
    assert [error["field"] for error in told["errors"]] == ["colour", "name", "rules.guest", "rules.max_errors"]
    assert set(codes(told["errors"])) == {"invalid_profile"}
    assert 'did you mean "guests"?' in told["errors"][2]["hint"]


@pytest.mark.parametrize("body", [[], "webshop", 3])
def test_a_profile_is_an_object(people: People, body: Any) -> None:
    assert kept(people, body=body).status_code == 400


def test_names_are_taken_once(people: People) -> None:
    kept(people)
    assert kept(people).json()["code"] == "profile_exists"
    assert kept(people, body={"name": "sluice"}).json()["code"] == "profile_built_in"


def test_all_are_listed_with_those_that_ship_with_sluice(people: People) -> None:
    kept(people)
    told = people["alice"].get("/profiles").json()["results"]
    assert [entry["name"] for entry in told] == sorted([*builtin_names(), "webshop"])
    (mine,) = [entry for entry in told if not entry["built_in"]]
    assert (mine["url"], mine["created_by"], mine["version"]) == ("/profiles/webshop", "dora", 1)
    assert people["alice"].get("/profiles/sluice").json() == load_profile("sluice").as_dict()


@pytest.mark.parametrize("method", ["put", "delete"])
def test_those_cannot_be_changed(people: People, method: str) -> None:
    refused = getattr(people["dora"], method)("/profiles/sluice", {}, format="json", headers={"If-Match": "*"})
    assert (refused.status_code, refused.json()["code"]) == (409, "profile_built_in")


def test_a_change_names_the_version_it_was_made_of(people: People) -> None:
    first = kept(people).headers["ETag"]
    body = {"description": "changed"}
    assert people["dora"].put("/profiles/webshop", body, format="json").status_code == 428
    changed = people["dora"].put("/profiles/webshop", body, format="json", headers={"If-Match": first})
    assert (changed.status_code, changed.json()["description"]) == (200, "changed")
    stale = people["dora"].put("/profiles/webshop", body, format="json", headers={"If-Match": first})
    assert (stale.status_code, stale.json()["etag"]) == (412, changed.headers["ETag"])
    assert people["dora"].delete("/profiles/webshop", headers={"If-Match": first}).status_code == 412
    second = {"If-None-Match": changed.headers["ETag"]}
    assert people["alice"].get("/profiles/webshop", headers=second).status_code == 304


def test_a_profile_that_is_forgotten_stays_with_its_imports(people: People) -> None:
    etag = kept(people).headers["ETag"]
    imported = asked(people["alice"], uploaded(GOOD), profile="webshop")
    gone = people["dora"].delete("/profiles/webshop", headers={"If-Match": etag})
    assert (gone.status_code, gone.content) == (204, b"")
    assert people["alice"].get("/profiles/webshop").json()["code"] == "profile_not_found"
    assert people["alice"].get(f"/imports/{imported['id']}").json()["options"] == imported["options"]
    assert asked(people["alice"], uploaded(GOOD), 404, profile="webshop")["code"] == "unknown_profile"
    # Made anew it is another one: an old ETag does not fit.
    assert kept(people).headers["ETag"] != etag


def test_the_address_names_the_profile(people: People) -> None:
    etag = kept(people).headers["ETag"]
    refused = people["dora"].put("/profiles/webshop", {"name": "other"}, format="json", headers={"If-Match": etag})
    assert [error["field"] for error in refused.json()["errors"]] == ["name"]
    assert people["dora"].put("/profiles/none", {}, format="json", headers={"If-Match": "*"}).status_code == 404


def test_who_may(people: People) -> None:
    etag = kept(people).headers["ETag"]
    for name, reads in {"alice": 200, "bob": 200, "dora": 200, "eve": 403, "charlie": 403}.items():
        assert people[name].get("/profiles").status_code == reads
        assert people[name].get("/profiles/webshop").status_code == reads
    for name in ("alice", "eve", "charlie"):
        assert kept(people, name).status_code == 403
        assert people[name].put("/profiles/webshop", {}, format="json", headers={"If-Match": etag}).status_code == 403
        assert people[name].delete("/profiles/webshop", headers={"If-Match": etag}).status_code == 403


def test_a_profile_that_names_roles_gives_no_power(people: People) -> None:
    """What a file grants is limited by its importer's own roles (see tests/integration/ingestion/test_power.py)."""
    kept(people, body={"name": "power", "rules": {"roles": ["admin"]}})
    import_id = asked(people["alice"], uploaded(GOOD), profile="power")["id"]
    assert Import.objects.get(pk=import_id).created_by_id == "alice"
