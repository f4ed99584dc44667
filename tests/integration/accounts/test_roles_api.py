"""/roles, /regions, and what lies below a user."""

import pytest
from rest_framework.test import APIClient

from accounts.models import Role, User
from tests.integration.accounts.conftest import Client

pytestmark = pytest.mark.django_db

DESK = {"slug": "desk", "name": "Order desk", "permissions": ["orders.view_order", "orders.add_order"]}
NORTH = {"slug": "north", "name": "North", "countries": ["Sweden", "Norway"]}
ANY = {"If-Match": "*"}


def test_shipped_roles(admin: APIClient) -> None:
    slugs = [role["slug"] for role in admin.get("/roles").json()["results"]]
    assert slugs == ["account-manager", "admin", "integrator", "regional-manager"]
    manager = admin.get("/roles/regional-manager")
    assert manager["ETag"] == '"1"'
    assert manager.json()["is_regional"] is True
    assert not any(role.is_importable for role in Role.objects.all())


def test_role_from_birth_to_death(admin: APIClient) -> None:
    made = admin.post("/roles", DESK)
    assert (made.status_code, made["Location"], made["ETag"]) == (201, "/roles/desk", '"1"')
    assert made.data["permissions"] == ["orders.add_order", "orders.view_order"]
    assert admin.post("/roles", DESK).data["code"] == "role_exists"
    assert admin.get("/roles/desk", headers={"If-None-Match": '"1"'}).status_code == 304
    assert admin.patch("/roles/desk", {"name": "Desk"}).status_code == 428
    changed = admin.patch("/roles/desk", {"permissions": ["orders.view_order"]}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed["ETag"], changed.data["permissions"]) == (200, '"2"', ["orders.view_order"])
    assert admin.patch("/roles/desk", {"name": "Desk"}, headers={"If-Match": '"1"'}).status_code == 412
    replaced = admin.put("/roles/desk", {"name": "Desk", "is_importable": True}, headers={"If-Match": '"2"'})
    assert (replaced.data["permissions"], replaced.data["is_importable"]) == ([], True)
    assert admin.patch("/roles/desk", {"name": "Desk"}, headers={"If-Match": '"3"'})["ETag"] == '"3"'
    assert admin.delete("/roles/desk", headers={"If-Match": '"2"'}).status_code == 412
    assert admin.delete("/roles/desk", headers={"If-Match": '"3"'}).status_code == 204
    assert admin.get("/roles/desk").status_code == 404


def test_role_that_somebody_has_stays(admin: APIClient, bob: User) -> None:
    response = admin.delete("/roles/account-manager", headers=ANY)
    assert (response.status_code, response.data["code"]) == (409, "role_in_use")


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"slug": "Order Desk"}, "slug", "invalid_slug"),
        ({"slug": "desk\n"}, "slug", "invalid_slug"),
        ({"slug": "x" * 65}, "slug", "max_length"),
        ({"name": ""}, "name", "blank"),
        ({"permissions": ["orders.fly"]}, "permissions", "unknown_permission"),
        ({"permissions": ["nonsense"]}, "permissions", "unknown_permission"),
        ({"permissions": "orders.view_order"}, "permissions", "not_a_list"),
        ({"permissions": [7]}, "permissions.0", "invalid"),
        ({"users": ["bob"]}, "users", "unknown_field"),
    ],
)
def test_role_that_cannot_be(admin: APIClient, change: dict[str, object], field: str, code: str) -> None:
    response = admin.post("/roles", {**DESK, **change})
    assert response.status_code == 400
    assert [(error["field"], error["code"]) for error in response.data["errors"]] == [(field, code)]


def test_region_from_birth_to_death(admin: APIClient, charlie: User) -> None:
    made = admin.post("/regions", NORTH)
    assert (made.status_code, made["Location"], made.data["countries"]) == (201, "/regions/north", ["Norway", "Sweden"])
    assert admin.post("/regions", NORTH).data["code"] == "region_exists"
    assert admin.patch("/regions/north", {"countries": []}).status_code == 428
    assert admin.patch("/regions/north", {"countries": []}, headers={"If-Match": '"1"'})["ETag"] == '"2"'
    assert admin.put("/users/charlie/regions/north").status_code == 201
    assert admin.delete("/regions/north", headers=ANY).data["code"] == "region_in_use"
    assert admin.delete("/users/charlie/regions/north").status_code == 204
    assert admin.delete("/regions/north", headers={"If-Match": '"2"'}).status_code == 204
    assert admin.get("/regions/north").status_code == 404


def test_giving_a_role_is_idempotent_and_changes_the_users_version(admin: APIClient, charlie: User) -> None:
    version = admin.get("/users/charlie").json()["version"]
    made = admin.post("/users/charlie/roles", {"role": "integrator"})
    assert (made.status_code, made["Location"]) == (201, "/users/charlie/roles/integrator")
    assert admin.post("/users/charlie/roles", {"role": "integrator"}).status_code == 200
    assert admin.put("/users/charlie/roles/integrator").status_code == 200
    found = admin.get("/users/charlie")
    assert (found.json()["roles"], found.json()["version"], found["ETag"]) == (
        ["integrator"], version + 1, f'"{version + 1}"',
    )  # fmt: skip
    listed = admin.get("/users/charlie/roles").data["results"]
    assert [(each["role"], each["import_id"]) for each in listed] == [("integrator", None)]
    assert admin.get(made["Location"]).status_code == 200
    assert admin.delete("/users/charlie/roles/integrator").status_code == 204
    assert admin.delete("/users/charlie/roles/integrator").status_code == 204
    assert admin.get(made["Location"]).status_code == 404
    assert admin.get("/users/charlie").json()["version"] == version + 2


def test_unknown_roles_regions_and_users(admin: APIClient, charlie: User) -> None:
    assert admin.post("/users/charlie/roles", {"role": "king"}).data["code"] == "unknown_role"
    assert admin.post("/users/charlie/regions", {"region": "moon"}).data["code"] == "unknown_region"
    for path in ("/users/charlie/roles/king", "/users/charlie/regions/moon", "/users/nobody/roles/admin"):
        assert admin.put(path).status_code == 404
    assert admin.post("/users/nobody/roles", {"role": "admin"}).status_code == 404


def test_what_a_role_grants_holds_at_once(admin: APIClient, charlie: User, client_of: Client) -> None:
    client = client_of(charlie)
    assert client.get("/roles").status_code == 403
    admin.post("/roles", {"slug": "reader", "name": "Reader", "permissions": ["accounts.view_role"]})
    admin.put("/users/charlie/roles/reader")
    assert client.get("/roles").status_code == 200
    admin.patch("/roles/reader", {"permissions": []}, headers=ANY)
    assert client.get("/roles").status_code == 403


def test_method_that_does_not_exist(admin: APIClient) -> None:
    response = admin.delete("/roles")
    assert (response.status_code, response["Allow"]) == (405, "GET, POST, HEAD, OPTIONS")
