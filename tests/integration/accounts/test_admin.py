"""The admin changes users, roles and regions as the API does: same rules, versions, cache."""

from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from knox.models import AuthToken

from accounts.models import Region, Role, RoleMembership, User
from orders.models import Order
from tests.integration.accounts.conftest import Person

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
NO_ROLES = {
    "memberships-TOTAL_FORMS": "0",
    "memberships-INITIAL_FORMS": "0",
}


@pytest.fixture
def root(client: Client) -> Client:
    """A superuser's browser."""
    client.force_login(User.objects.create_superuser("root", email="root@example.com", name="Root"))
    return client


@pytest.fixture
def staff(person: Person) -> Client:
    """Alice's browser: she has the role admin, and is no superuser."""
    browser = Client()
    browser.force_login(person("alice", "admin", is_staff=True))
    return browser


def texts(response: Any) -> str:
    return " ".join(str(message) for message in response.context["messages"])


def form(**changes: Any) -> dict[str, Any]:
    return {"name": "Charlie", "email": "charlie@example.com", "country": "", "is_active": "on", **NO_ROLES, **changes}


def test_user_is_made(root: Client) -> None:
    page = root.post(
        "/admin/accounts/user/add/",
        {
            "id": "new", "name": "New", "email": "NEW@example.com", "usable_password": "true",
            "password1": PASSWORD, "password2": PASSWORD, **NO_ROLES,
        },
    )  # fmt: skip
    assert page.status_code == 302, page.context["adminform"].errors
    made = User.objects.get(pk="new")
    assert (made.email, made.version, made.is_staff) == ("new@example.com", 1, False)
    assert authenticate(username="new@example.com", password=PASSWORD) == made


def test_id_is_made_when_left_empty_and_is_read_only_later(root: Client) -> None:
    root.post(
        "/admin/accounts/user/add/",
        {"id": "", "name": "New", "email": "new@example.com", "usable_password": "false", **NO_ROLES},
    )
    made = User.objects.get(email="new@example.com")
    assert len(made.pk) == 26
    assert not made.has_usable_password()
    root.post(f"/admin/accounts/user/{made.pk}/change/", form(id="other", name="Renamed", email=made.email))
    assert User.objects.get(email=made.email).pk == made.pk
    assert User.objects.get(pk=made.pk).name == "Renamed"


def test_change_makes_a_version(root: Client, charlie: User) -> None:
    address = "/admin/accounts/user/charlie/change/"
    assert root.get(address).status_code == 200
    assert root.post(address, form(name="Chuck", email="CHUCK@example.com")).status_code == 302
    changed = User.objects.get(pk="charlie")
    assert (changed.name, changed.email, changed.version) == ("Chuck", "chuck@example.com", charlie.version + 1)
    assert root.post(address, form(name="Chuck", email="chuck@example.com")).status_code == 302
    assert User.objects.get(pk="charlie").version == charlie.version + 1


def test_roles_and_regions_are_given_and_taken(root: Client, charlie: User) -> None:
    address = "/admin/accounts/user/charlie/change/"
    role, north = (
        Role.objects.get(slug="integrator"),
        Region.objects.create(slug="north", name="N", countries=["Norway"]),
    )
    page = root.post(
        address,
        form(regions=[north.pk])
        | {"memberships-TOTAL_FORMS": "1", "memberships-0-user": "charlie", "memberships-0-role": role.pk},
    )
    assert page.status_code == 302
    membership = RoleMembership.objects.get(user="charlie")
    assert (membership.role, list(charlie.regions.all())) == (role, [north])
    taken = {
        "memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "1", "memberships-0-id": membership.pk,
        "memberships-0-user": "charlie", "memberships-0-DELETE": "on",
    }  # fmt: skip
    assert root.post(address, form() | taken).status_code == 302
    assert not RoleMembership.objects.exists()
    assert not charlie.regions.exists()
    assert User.objects.get(pk="charlie").version == charlie.version + 4


def test_staff_become_no_superusers(staff: Client, charlie: User) -> None:
    for whom in ("alice", "charlie"):
        staff.post(
            f"/admin/accounts/user/{whom}/change/", form(is_superuser="on", is_staff="on", email=f"{whom}@x.org")
        )
        changed = User.objects.get(pk=whom)
        assert changed.email == f"{whom}@x.org"
        assert not changed.is_superuser
    assert not User.objects.get(pk="charlie").is_staff


def test_staff_do_not_change_superusers(staff: Client) -> None:
    User.objects.create_superuser("root", email="root@example.com", name="Root")
    assert staff.get("/admin/accounts/user/root/change/").status_code == 200
    assert staff.post("/admin/accounts/user/root/change/", form(email="mallory@example.com")).status_code == 403
    password = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true", "set-password": "1"}
    assert staff.post("/admin/accounts/user/root/password/", password).status_code == 403
    assert staff.post("/admin/accounts/user/root/delete/", {"post": "yes"}).status_code == 403
    assert User.objects.get(pk="root").email == "root@example.com"


def test_staff_give_no_role_beyond_their_own(person: Person, charlie: User) -> None:
    browser = Client()
    browser.force_login(person("bob", "account-manager", is_staff=True))
    address = "/admin/accounts/user/charlie/change/"
    given = {
        "memberships-TOTAL_FORMS": "1",
        "memberships-0-user": "charlie",
        "memberships-0-role": Role.objects.get(slug="admin").pk,
    }
    page = browser.post(address, form() | given)
    assert page.status_code == 200
    assert "Select a valid choice" in page.content.decode()
    assert not RoleMembership.objects.filter(user="charlie").exists()


def test_what_a_service_refuses_is_a_message(root: Client, charlie: User) -> None:
    Order.objects.create(pk="o1", user=charlie)
    page = root.post("/admin/accounts/user/charlie/delete/", {"post": "yes"}, follow=True)
    assert "has orders" in texts(page)
    assert User.objects.filter(pk="charlie").exists()
    manager = Role.objects.get(slug="integrator")
    RoleMembership.objects.create(user=charlie, role=manager)
    page = root.post(f"/admin/accounts/role/{manager.pk}/delete/", {"post": "yes"}, follow=True)
    assert "Revoke it from everybody first" in texts(page)


def test_delete(root: Client, charlie: User) -> None:
    assert root.get("/admin/accounts/user/charlie/delete/").status_code == 200
    assert root.post("/admin/accounts/user/charlie/delete/", {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk="charlie").exists()


def test_role_and_region_make_versions(root: Client) -> None:
    role = Role.objects.get(slug="integrator")
    some = list(role.permissions.values_list("pk", flat=True))[:2]
    page = root.post(f"/admin/accounts/role/{role.pk}/change/", {"name": "Programs", "permissions": some})
    assert page.status_code == 302
    role.refresh_from_db()
    assert (role.name, role.version, role.permissions.count()) == ("Programs", 2, 2)
    root.post("/admin/accounts/region/add/", {"slug": "north", "name": "North", "countries": "Norway,Sweden"})
    north = Region.objects.get(slug="north")
    root.post(f"/admin/accounts/region/{north.pk}/change/", {"name": "North", "countries": "Norway"})
    north.refresh_from_db()
    assert (north.countries, north.version) == (["Norway"], 2)
    root.post("/admin/accounts/role/add/", {"slug": "new", "name": "New", "permissions": some})
    assert Role.objects.get(slug="new").permissions.count() == 2


def test_passwords(root: Client, charlie: User) -> None:
    address = "/admin/accounts/user/charlie/password/"
    assert root.get(address).status_code == 200
    posted = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true", "set-password": "1"}
    assert root.post(address, posted).status_code == 302
    assert authenticate(username="charlie@example.com", password=PASSWORD) == charlie
    assert User.objects.get(pk="charlie").version == charlie.version + 1


def test_own_password(person: Person) -> None:
    stan = person("stan", is_staff=True)
    stan.set_password(PASSWORD)
    stan.save()
    browser = Client()
    assert browser.login(username="STAN@example.com", password=PASSWORD)
    assert browser.get("/admin/password_change/").status_code == 200
    new = {"old_password": PASSWORD, "new_password1": "another good one", "new_password2": "another good one"}
    page = browser.post("/admin/password_change/", new)
    assert page.status_code == 302
    assert browser.get("/admin/").status_code == 200  # still signed in
    assert authenticate(username="stan@example.com", password="another good one") == stan
    assert User.objects.get(pk="stan").version == stan.version + 1


def test_tokens_are_seen_and_revoked(root: Client, charlie: User) -> None:
    row, token = AuthToken.objects.create(charlie)
    page = root.get("/admin/knox/authtoken/").content.decode()
    assert row.token_key in page
    assert token not in page
    assert root.get("/admin/knox/authtoken/add/").status_code == 403
    assert root.post(f"/admin/knox/authtoken/{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not AuthToken.objects.exists()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["charlie", "root", "u1", "u2"]),
        ("q=u", ["u1", "u2"]),
        ("q=U1@EX", ["u1"]),
        ("q=tea", ["u2"]),
        ("q=%25", []),
        ("role=integrator", ["charlie"]),
        ("region=north", ["u1"]),
        ("role=none", ["charlie", "root", "u1", "u2"]),
    ],
)
def test_list(root: Client, person: Person, query: str, found: list[str]) -> None:
    person("charlie", "integrator")
    User.objects.create(pk="u1", email="u1@example.com", name="Shoes").regions.create(slug="north", name="N")
    User.objects.create(pk="u2", name="Tea")
    with CaptureQueriesContext(connection) as queries:
        page = root.get(f"/admin/accounts/user/?{query}")
    assert [user.pk for user in page.context["cl"].result_list] == found
    unbounded = [each["sql"] for each in queries if "COUNT(*)" in each["sql"] and "LIMIT" not in each["sql"]]
    assert unbounded == []


@pytest.mark.parametrize("page", ["user", "role", "region"])
def test_pages_open(root: Client, page: str) -> None:
    for address in (f"/admin/accounts/{page}/", f"/admin/accounts/{page}/?q=a", f"/admin/accounts/{page}/add/"):
        assert root.get(address).status_code == 200
    assert root.get("/admin/auth/group/").status_code == 404
