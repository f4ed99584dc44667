"""Nobody gives what they do not have, nobody changes somebody who may do more; attempts to become an administrator."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from rest_framework.test import APIClient

from accounts import services
from accounts.errors import NoLongerAllowedError, UserNotFoundError
from accounts.identities import scope_of
from accounts.models import Region, Role, User
from tests.integration.accounts.conftest import Client, Person

pytestmark = pytest.mark.django_db

ANY = {"If-Match": "*"}
Clerk = Callable[..., APIClient]


@pytest.fixture
def role() -> Callable[..., Role]:
    """Makes a role: `role("clerk", "change_user", regional=True)`."""

    def make(slug: str, *codenames: str, regional: bool = False) -> Role:
        made = Role.objects.create(slug=slug, name=slug.title(), is_regional=regional)
        made.permissions.set(Permission.objects.filter(codename__in=codenames))
        assert made.permissions.count() == len(codenames)
        return made

    return make


@pytest.fixture(params=["token", "session"])
def clerk(
    request: pytest.FixtureRequest, person: Person, client_of: Client, role: Callable[..., Role]
) -> Callable[[], APIClient]:
    """Somebody who changes users and roles, by token or by session, and may do little else."""
    role("clerk", "view_user", "add_user", "change_user", "delete_user", "add_role", "change_role", "view_order")

    def sign_in() -> APIClient:
        user = person("clerk", "clerk")
        if request.param == "token":
            return client_of(user)
        client = APIClient()
        client.force_login(user)
        return client

    return sign_in


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.data["code"]


def test_nobody_gives_a_role_that_grants_more(clerk: Clerk, charlie: User, role: Callable[..., Role]) -> None:
    client = clerk()
    role("viewer", "view_order")
    assert client.put("/users/charlie/roles/viewer").status_code == 201
    for slug in ("admin", "account-manager", "integrator"):
        assert code(client.put(f"/users/charlie/roles/{slug}")) == (403, "more_than_you_have")
        assert code(client.post("/users/charlie/roles", {"role": slug})) == (403, "more_than_you_have")
    assert client.get("/users/charlie").json()["roles"] == ["viewer"]


def test_nobody_gives_themselves_more(clerk: Clerk) -> None:
    client = clerk()
    assert code(client.put("/users/clerk/roles/admin")) == (403, "more_than_you_have")
    assert code(client.put("/users/clerk/roles/regional-manager")) == (403, "more_than_you_have")
    assert client.get("/users/clerk").json()["roles"] == ["clerk"]


def test_nobody_puts_more_into_a_role(clerk: Clerk) -> None:
    client = clerk()
    more = {"permissions": ["orders.view_order", "orders.change_order"]}
    assert code(client.patch("/roles/clerk", more, headers=ANY)) == (403, "more_than_you_have")
    assert code(client.post("/roles", {"slug": "new", "name": "New", **more})) == (403, "more_than_you_have")
    # Nor out of one, nor may they make one importable that grants more than they have.
    assert code(client.patch("/roles/admin", {"permissions": []}, headers=ANY)) == (403, "more_than_you_have")
    assert code(client.patch("/roles/admin", {"is_importable": True}, headers=ANY)) == (403, "more_than_you_have")
    assert (
        client.post("/roles", {"slug": "new", "name": "New", "permissions": ["orders.view_order"]}).status_code == 201
    )


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("patch", "/users/alice", {"email": "mallory@example.com"}),
        ("patch", "/users/alice", {"is_active": False}),
        ("put", "/users/alice", {"name": "Mallory", "email": "mallory@example.com"}),
        ("delete", "/users/alice", None),
        ("put", "/users/alice/password", {"password": "correct horse battery"}),
        ("delete", "/users/alice/roles/admin", None),
        ("put", "/users/alice/roles/clerk", None),
        ("delete", "/users/alice/regions/north", None),
        ("post", "/tokens", {"user_id": "alice"}),
        ("get", "/tokens?user_id=alice", None),
        ("delete", "/tokens/0123456789abcde?user_id=alice", None),
    ],
)
def test_nobody_touches_somebody_who_may_do_more(
    clerk: Clerk, alice: User, method: str, path: str, body: dict[str, Any] | None
) -> None:
    client = clerk()
    assert code(getattr(client, method)(path, body, headers=ANY)) == (403, "more_powerful_user")
    unchanged = User.objects.get(pk="alice")
    assert (unchanged.email, unchanged.is_active) == ("alice@example.com", True)
    assert not unchanged.has_usable_password()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("patch", "/users/root", {"name": "Mallory"}),
        ("delete", "/users/root", None),
        ("put", "/users/root/password", {"password": "correct horse battery"}),
        ("put", "/users/root/roles/integrator", None),
        ("post", "/tokens", {"user_id": "root"}),
    ],
)
def test_only_superusers_touch_superusers(
    admin: APIClient, method: str, path: str, body: dict[str, Any] | None
) -> None:
    User.objects.create_superuser("root", email="root@example.com", name="Root")
    assert code(getattr(admin, method)(path, body, headers=ANY)) == (403, "superusers_only")


@pytest.mark.parametrize("flag", ["is_staff", "is_superuser"])
@pytest.mark.parametrize("whom", ["alice", "charlie"])
def test_only_superusers_give_flags(
    admin: APIClient, charlie: User, person: Person, client_of: Client, flag: str, whom: str
) -> None:
    assert code(admin.patch(f"/users/{whom}", {flag: True}, headers=ANY)) == (403, "superusers_only")
    new = {"name": "Mallory", "email": "mallory@example.com", flag: True}
    assert code(admin.post("/users", new)) == (403, "superusers_only")
    assert admin.patch(f"/users/{whom}", {flag: False}, headers=ANY).status_code == 200
    root = client_of(User.objects.create_superuser("root", email="root@example.com", name="Root"))
    assert root.patch(f"/users/{whom}", {flag: True}, headers=ANY).data[flag] is True
    # Replacing a user without naming the flags keeps them.
    body = {"name": "Same", "email": f"{whom}@example.com"}
    assert root.put(f"/users/{whom}", body, headers=ANY).data[flag] is True


def test_staff_are_changed_by_staff(clerk: Clerk, person: Person, client_of: Client) -> None:
    person("stan", is_staff=True)
    assert code(clerk().patch("/users/stan", {"name": "Stanley"}, headers=ANY)) == (403, "more_powerful_user")
    User.objects.filter(pk="clerk").update(is_staff=True)
    assert (
        client_of(User.objects.get(pk="clerk")).patch("/users/stan", {"name": "Stanley"}, headers=ANY).status_code
        == 200
    )


def test_imported_role_given_by_a_person_protects_from_files(admin: APIClient, charlie: User) -> None:
    membership = charlie.memberships.create(role=Role.objects.get(slug="integrator"), import_id=7)
    assert admin.put("/users/charlie/roles/integrator").status_code == 200
    membership.refresh_from_db()
    assert membership.import_id is None


class TestRegions:
    """What is limited to regions stays limited."""

    @pytest.fixture(autouse=True)
    def _regions(self, role: Callable[..., Role], person: Person) -> None:
        Region.objects.create(slug="north", name="North", countries=["Norway"])
        Region.objects.create(slug="south", name="South", countries=["Chile"])
        role("local", "view_user", "change_user", "add_user", "view_order", regional=True)
        role("viewer", "view_order")

    @pytest.fixture
    def dora(self, person: Person, client_of: Client) -> APIClient:
        """She manages users in Norway."""
        dora = person("dora", "local", country="Norway")
        dora.regions.add(Region.objects.get(slug="north"))
        return client_of(dora)

    def test_she_reaches_her_countries_only(self, dora: APIClient, person: Person) -> None:
        person("nils", country="Norway")
        person("pablo", country="Chile")
        assert dora.patch("/users/nils", {"age": 40}, headers=ANY).status_code == 200
        assert code(dora.patch("/users/pablo", {"age": 40}, headers=ANY)) == (404, "not_found")
        assert code(dora.patch("/users/nils", {"country": "Chile"}, headers=ANY)) == (403, "outside_region")
        assert code(dora.post("/users", {"name": "New", "email": "new@example.com"})) == (403, "outside_region")
        assert dora.post("/users", {"name": "New", "email": "new@example.com", "country": "Norway"}).status_code == 201

    def test_she_gives_neither_regions_nor_permissions_beyond_her_own(self, dora: APIClient, person: Person) -> None:
        person("nils", "local", country="Norway")
        assert dora.put("/users/nils/regions/north").status_code == 201
        assert code(dora.put("/users/nils/regions/south")) == (403, "more_than_you_have")
        assert code(dora.put("/users/dora/regions/south")) == (403, "more_than_you_have")
        # The same permission, but everywhere.
        assert code(dora.put("/users/nils/roles/viewer")) == (403, "more_than_you_have")

    def test_region_first_and_role_later_gives_no_more(self, dora: APIClient, person: Person) -> None:
        person("nils", country="Norway")
        assert dora.put("/users/nils/regions/south").status_code == 201  # means nothing as long as no role is regional
        assert code(dora.put("/users/nils/roles/local")) == (403, "more_than_you_have")

    def test_who_is_limited_does_not_say_what_regions_are(
        self, dora: APIClient, person: Person, role: Callable[..., Role], client_of: Client
    ) -> None:
        role("mapper", "change_region", "add_region", "delete_region")
        User.objects.get(pk="dora").memberships.create(role=Role.objects.get(slug="mapper"))
        client = client_of(User.objects.get(pk="dora"))
        change = {"countries": ["Norway", "Chile"]}
        assert code(client.patch("/regions/north", change, headers=ANY)) == (403, "limited_to_regions")
        assert code(client.delete("/regions/south", headers=ANY)) == (403, "limited_to_regions")
        assert code(client.post("/regions", {"slug": "all", "name": "All", **change})) == (403, "limited_to_regions")
        assert client_of(person("matt", "mapper")).patch("/regions/south", change, headers=ANY).status_code == 200

    def test_who_widens_a_region_has_everywhere_what_its_users_gain(
        self, person: Person, role: Callable[..., Role], client_of: Client
    ) -> None:
        role("mapper", "change_region")
        matt = person("matt", "mapper")
        person("dora", "local").regions.add(Region.objects.get(slug="north"))
        client, wider = client_of(matt), {"countries": ["Norway", "Chile"]}
        assert code(client.patch("/regions/north", wider, headers=ANY)) == (403, "more_than_you_have")
        assert client.patch("/regions/north", {"name": "Nord"}, headers=ANY).status_code == 200
        assert client.patch("/regions/south", wider, headers=ANY).status_code == 200  # nobody gains
        assert client.patch("/regions/north", {"countries": []}, headers=ANY).status_code == 200
        role("all", "view_user", "change_user", "add_user", "view_order")
        matt.memberships.create(role=Role.objects.get(slug="all"))
        assert client_of(matt).patch("/regions/north", wider, headers=ANY).status_code == 200


def assign(actor: User) -> None:
    services.role_assign(user_id="charlie", slug="integrator", actor=actor)


def rename(actor: User) -> None:
    services.user_update(user_id="charlie", attributes={"name": "C"}, actor=actor, now=datetime.now(UTC))


def set_password(actor: User) -> None:
    services.password_set(user_id="charlie", password=None, actor=actor, now=datetime.now(UTC))


def make_user(actor: User) -> None:
    services.user_create(attributes={"name": "New"}, actor=actor, now=datetime.now(UTC))


def make_role(actor: User) -> None:
    services.role_create(slug="new", attributes={"name": "New"}, actor=actor, now=datetime.now(UTC))


def empty_role(actor: User) -> None:
    services.role_update(slug="integrator", attributes={"permissions": []}, actor=actor, now=datetime.now(UTC))


def delete_role(actor: User) -> None:
    services.role_delete(slug="unused", actor=actor)


def make_region(actor: User) -> None:
    attributes = {"name": "East", "countries": []}
    services.region_create(slug="east", attributes=attributes, actor=actor, now=datetime.now(UTC))


def change_region(actor: User) -> None:
    services.region_update(slug="west", attributes={"name": "W"}, actor=actor, now=datetime.now(UTC))


def delete_region(actor: User) -> None:
    services.region_delete(slug="west", actor=actor)


@pytest.mark.parametrize("taken", ["role", "superuser", "active"])
@pytest.mark.parametrize(
    "change",
    [
        assign,
        rename,
        set_password,
        make_user,
        make_role,
        empty_role,
        delete_role,
        make_region,
        change_region,
        delete_region,
    ],
)
def test_who_lost_powers_while_a_request_waited_has_lost_them(
    alice: User, charlie: User, change: Callable[[User], None], taken: str
) -> None:
    Region.objects.create(slug="west", name="West", countries=[])
    Role.objects.create(slug="unused", name="Unused")
    if taken == "superuser":
        alice.memberships.all().delete()
        User.objects.filter(pk="alice").update(is_superuser=True)
    let_in = User.objects.get(pk="alice")
    scope_of(let_in)
    if taken == "role":
        let_in.memberships.all().delete()
    else:
        User.objects.filter(pk="alice").update(**{f"is_{taken}": False})
    with pytest.raises((NoLongerAllowedError, UserNotFoundError)):
        change(let_in)
