"""/users: what is taken, what is refused and how, lists, versions."""

from typing import Any
from urllib.parse import quote

import pytest
from rest_framework.test import APIClient

from accounts.models import RoleMembership, User
from orders.models import Order
from tests.integration.accounts.conftest import Client, Person

pytestmark = pytest.mark.django_db

SHOES = {"id": "u101", "name": "Shoes", "email": "john@gmail.com"}


def errors(response: Any) -> dict[str, str]:
    """Field → code."""
    assert response.status_code == 400, response.data
    assert response["Content-Type"] == "application/problem+json"
    return {error["field"]: error["code"] for error in response.data["errors"]}


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.data
    return [user["id"] for user in response.data["results"]]


# Creating


def test_user_is_created(admin: APIClient) -> None:
    response = admin.post("/users", SHOES)
    assert response.status_code == 201
    assert response["Location"] == "/users/u101"
    assert response["ETag"] == '"1"'
    assert response.data | SHOES == response.data
    flags = ("is_active", "is_staff", "is_superuser", "has_password")
    assert [response.data[name] for name in flags] == [True, False, False, False]
    assert admin.get("/users/u101").json() == response.json()


def test_id_is_made_when_none_is_given(admin: APIClient) -> None:
    first = admin.post("/users", {"name": "Shoes", "email": "john@gmail.com"})
    second = admin.post("/users", {"name": "Shoes", "email": "jane@gmail.com"})
    assert first.status_code == second.status_code == 201
    assert len(first.data["id"]) == 26
    assert first.data["id"] != second.data["id"]
    assert admin.get(first["Location"]).status_code == 200


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "Jo"}, {"name": "min_length"}),
        ({"name": None}, {"name": "null"}),
        ({"name": "   "}, {"name": "invalid_name"}),
        ({"name": " Jo "}, {"name": "invalid_name"}),
        ({"name": "J\tohn"}, {"name": "invalid_name"}),
        ({"name": "x" * 256}, {"name": "max_length"}),
        ({"name": 123}, {"name": "invalid"}),
        ({"email": "john"}, {"email": "invalid_email"}),
        ({"email": "john@localhost"}, {"email": "invalid_email"}),
        ({"email": "john@gmail.com\n"}, {"email": "invalid_email"}),
        ({"email": f"{'x' * 250}@gmail.com"}, {"email": "max_length"}),
        ({"email": ""}, {"email": "blank"}),
        ({"id": ""}, {"id": "blank"}),
        ({"id": " u1"}, {"id": "invalid_key"}),
        ({"id": "x" * 129}, {"id": "max_length"}),
        ({"age": 151}, {"age": "max_value"}),
        ({"age": "7"}, {"age": "invalid"}),
        ({"country": "x" * 65}, {"country": "max_length"}),
        ({"is_active": "yes"}, {"is_active": "invalid"}),
        ({"roles": ["admin"]}, {"roles": "unknown_field"}),
        ({"version": 7}, {"version": "unknown_field"}),
        ({"password": "123"}, {"password": "weak_password"}),
        ({"name": "Jo", "email": "john"}, {"name": "min_length", "email": "invalid_email"}),
    ],
)
def test_what_is_wrong_is_said(admin: APIClient, change: dict[str, Any], expected: dict[str, str]) -> None:
    assert errors(admin.post("/users", {**SHOES, **change})) == expected
    assert not User.objects.filter(pk="u101").exists()


@pytest.mark.parametrize("missing", ["name", "email"])
def test_name_and_email_are_required(admin: APIClient, missing: str) -> None:
    body = {name: value for name, value in SHOES.items() if name != missing}
    assert errors(admin.post("/users", body)) == {missing: "required"}


def test_existing_id_and_existing_email(admin: APIClient) -> None:
    admin.post("/users", SHOES)
    repeated = admin.post("/users", SHOES)
    assert (repeated.status_code, repeated.data["code"]) == (409, "user_exists")
    assert errors(admin.post("/users", {**SHOES, "id": "u102"})) == {"email": "duplicate_email"}
    assert errors(admin.post("/users", {**SHOES, "id": "u102", "email": "JOHN@Gmail.com"})) == {
        "email": "duplicate_email"
    }


def test_idempotency_key_gives_the_first_answer_again(admin: APIClient) -> None:
    first = admin.post("/users", SHOES, headers={"Idempotency-Key": "k1"})
    again = admin.post("/users", SHOES, headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.json(), again["Location"]) == (201, first.json(), "/users/u101")
    other = admin.post("/users", {**SHOES, "name": "Boots"}, headers={"Idempotency-Key": "k1"})
    assert (other.status_code, other.data["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("user_id", ["a/b", "a.b", "..", "%2F", "ü 💧", "a?b#c", "x;y=1", "roles", "-" * 128])
def test_any_id_has_an_address(admin: APIClient, user_id: str) -> None:
    made = admin.post("/users", {**SHOES, "id": user_id})
    assert made.status_code == 201
    assert made["Location"] == f"/users/{quote(user_id, safe='')}"
    # Django's test client loses what tells `/` from `%2F`; test_serving has it with gunicorn.
    if "/" not in user_id:
        assert admin.get(made["Location"]).json()["id"] == user_id


# Reading


def test_conditional_reading(admin: APIClient) -> None:
    admin.post("/users", SHOES)
    first = admin.get("/users/u101")
    assert (first.status_code, first["ETag"]) == (200, '"1"')
    same = admin.get("/users/u101", headers={"If-None-Match": '"1"'})
    assert (same.status_code, same.content, same["ETag"]) == (304, b"", '"1"')
    assert admin.get("/users/u101", headers={"If-None-Match": '"7"'}).status_code == 200
    head = admin.head("/users/u101")
    assert (head.status_code, head["ETag"]) == (200, '"1"')


def test_nobody(admin: APIClient) -> None:
    response = admin.get("/users/nobody")
    assert (response.status_code, response.data["code"]) == (404, "not_found")


def test_everybody_sees_themselves_and_no_others(client_of: Client, charlie: User, bob: User) -> None:
    client = client_of(charlie)
    assert client.get("/users/charlie").status_code == 200
    assert client.get("/users/charlie/roles").status_code == 200
    assert client.get("/users/charlie/regions").status_code == 200
    for path in ("/users", "/users/bob", "/users/nobody", "/users/bob/roles", "/users/bob/regions"):
        assert client.get(path).status_code == 403, path


# Changing


def test_change_needs_the_version_that_was_read(admin: APIClient) -> None:
    admin.post("/users", SHOES)
    missing = admin.patch("/users/u101", {"name": "Boots"})
    assert (missing.status_code, missing.data["code"]) == (428, "precondition_required")
    changed = admin.patch("/users/u101", {"name": "Boots"}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed["ETag"], changed.data["name"]) == (200, '"2"', "Boots")
    stale = admin.patch("/users/u101", {"name": "Socks"}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.data["code"]) == (412, "precondition_failed")
    assert admin.get("/users/u101").json()["name"] == "Boots"


def test_change_that_changes_nothing_makes_no_version(admin: APIClient) -> None:
    admin.post("/users", SHOES)
    same = admin.patch("/users/u101", {"name": "Shoes", "email": "JOHN@gmail.com"}, headers={"If-Match": '"1"'})
    assert (same.status_code, same["ETag"]) == (200, '"1"')


def test_put_replaces(admin: APIClient) -> None:
    admin.post("/users", {**SHOES, "age": 30, "country": "Norway"})
    body = {"name": "Boots", "email": "boots@gmail.com"}
    replaced = admin.put("/users/u101", body, headers={"If-Match": '"1"'})
    assert replaced.status_code == 200
    assert replaced.data | {**body, "age": None, "country": "", "version": 2} == replaced.data
    assert errors(admin.put("/users/u101", {"name": "Boots"}, headers={"If-Match": '"2"'})) == {"email": "required"}


def test_changed_email_must_be_free(admin: APIClient, bob: User) -> None:
    admin.post("/users", SHOES)
    taken = admin.patch("/users/u101", {"email": "Bob@Example.com"}, headers={"If-Match": "*"})
    assert errors(taken) == {"email": "duplicate_email"}
    assert errors(admin.patch("/users/u101", {"email": None}, headers={"If-Match": "*"})) == {"email": "null"}


def test_id_and_version_cannot_be_written(admin: APIClient) -> None:
    admin.post("/users", SHOES)
    for name in ("id", "version", "password", "created_at"):
        assert errors(admin.patch("/users/u101", {name: "x"}, headers={"If-Match": "*"})) == {name: "unknown_field"}


# Deleting


def test_delete(admin: APIClient) -> None:
    admin.post("/users", SHOES)
    assert admin.delete("/users/u101").status_code == 428
    assert admin.delete("/users/u101", headers={"If-Match": '"9"'}).status_code == 412
    assert admin.delete("/users/u101", headers={"If-Match": '"1"'}).status_code == 204
    assert admin.get("/users/u101").status_code == 404
    assert admin.delete("/users/u101", headers={"If-Match": '"1"'}).status_code == 404


def test_user_with_orders_stays(admin: APIClient) -> None:
    admin.post("/users", SHOES)
    Order.objects.create(pk="o1", user_id="u101")
    response = admin.delete("/users/u101", headers={"If-Match": "*"})
    assert (response.status_code, response.data["code"]) == (409, "user_has_orders")


def test_user_with_roles_and_tokens_goes(admin: APIClient, client_of: Client, charlie: User) -> None:
    gone = client_of(charlie)
    admin.put("/users/charlie/roles/integrator")
    assert admin.delete("/users/charlie", headers={"If-Match": "*"}).status_code == 204
    assert RoleMembership.objects.filter(user="charlie").count() == 0
    assert gone.get("/session").status_code == 401


# Lists


@pytest.fixture
def crowd(db: None) -> None:
    """Twelve users: u00 … u11; names and countries alternate, some share a name."""
    User.objects.bulk_create(
        User(
            id=f"u{n:02}",
            email=f"u{n:02}@example.com" if n % 2 else None,
            name=("Shoes", "shoes & more", "Tea", "")[n % 4],
            country=("Norway", "Chile", "")[n % 3],
        )
        for n in range(12)
    )


def walk(client: APIClient, address: str) -> list[str]:
    """All pages, forwards; and backwards they are the same."""
    found: list[str] = []
    pages, address_of_next = [], address
    while address_of_next:
        response = client.get(address_of_next)
        pages.append(ids(response))
        found += pages[-1]
        last, address_of_next = response, response.data["next"]
    backwards = [pages[-1]]
    while last.data["previous"]:
        last = client.get(last.data["previous"])
        backwards.append(ids(last))
    assert [page for page in reversed(backwards) if page] == [page for page in pages if page]
    return found


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_pages_in_every_order(admin: APIClient, crowd: None, limit: int) -> None:
    everybody = ["alice", *(f"u{n:02}" for n in range(12))]
    assert walk(admin, f"/users?limit={limit}") == everybody
    assert walk(admin, f"/users?limit={limit}&ordering=-id") == everybody[::-1]
    by_name = ["alice", "u00", "u04", "u08", "u01", "u05", "u09", "u02", "u06", "u10"]
    assert walk(admin, f"/users?limit={limit}&ordering=name") == by_name
    assert walk(admin, f"/users?limit={limit}&ordering=-name") == by_name[::-1]
    by_email = ["alice", "u01", "u03", "u05", "u07", "u09", "u11"]
    assert walk(admin, f"/users?limit={limit}&ordering=email") == by_email
    assert walk(admin, f"/users?limit={limit}&ordering=-email") == by_email[::-1]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("email=U01@example.com", ["u01"]),
        ("email=u01", []),
        ("country=Norway", ["u00", "u03", "u06", "u09"]),
        ("country=Norway&ordering=-id", ["u09", "u06", "u03", "u00"]),
        ("country=Norway&ordering=email", ["u03", "u09"]),
        ("name=SHOES", ["u00", "u04", "u08", "u01", "u05", "u09"]),
        ("name=shoes %26", ["u01", "u05", "u09"]),
        ("name=shoes&ordering=id", ["u00", "u01", "u04", "u05", "u08", "u09"]),
        ("name=shoes&country=Chile", ["u04", "u01"]),
        ("name=%25", []),
        ("role=admin", ["alice"]),
        ("role=admin&country=Norway", []),
        ("role=unknown", []),
        ("q=u0", [f"u{n:02}" for n in range(10)]),
        ("q=SHOES", ["u00", "u01", "u04", "u05", "u08", "u09"]),
        ("q=u05@", ["u05"]),
        ("q=alice&role=admin", ["alice"]),
        ("q=_", []),
    ],
)
def test_filters(admin: APIClient, crowd: None, query: str, expected: list[str]) -> None:
    assert walk(admin, f"/users?limit=2&{query}") == expected


@pytest.mark.parametrize("query", ["rolle=admin", "limit=0", "limit=x", "ordering=age", "cursor=x", "name=", "q="])
def test_query_that_cannot_be_meant(admin: APIClient, query: str) -> None:
    assert list(errors(admin.get(f"/users?{query}"))) == [query.partition("=")[0]]


def test_cursor_belongs_to_its_order(admin: APIClient, crowd: None) -> None:
    following = admin.get("/users?limit=2").data["next"]
    assert list(errors(admin.get(f"{following}&ordering=name"))) == ["cursor"]


def test_regional_managers_see_the_users_of_their_countries(
    admin: APIClient, crowd: None, person: Person, client_of: Client
) -> None:
    dora = person("dora", "regional-manager", country="Peru")
    admin.post("/regions", {"slug": "north", "name": "North", "countries": ["Norway"]})
    manager = client_of(dora)
    assert walk(manager, "/users?limit=1") == ["dora"]
    assert admin.put("/users/dora/regions/north").status_code == 201
    assert walk(manager, "/users?limit=1") == ["dora", "u00", "u03", "u06", "u09"]
    assert walk(manager, "/users?limit=2&country=Chile") == []
    assert manager.get("/users/u00").status_code == 200
    assert manager.get("/users/u01").status_code == 404
    assert manager.get("/users/u01/roles").status_code == 404
    assert manager.get("/users/dora").status_code == 200
