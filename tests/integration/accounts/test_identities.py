"""Tokens are known without a query, and what changes about them counts at once, in every process."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.http import HttpRequest
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import identities
from accounts.authentication import TokenAuthentication, bearer_token, token_digest
from accounts.caching import authority_changed, roles_changed, tokens_changed, users_changed
from accounts.identities import GENERATION
from accounts.models import Region, Role, RoleMembership, User
from accounts.selectors import visible_countries
from config.kernel import caching
from config.kernel.caching import DOUBT, VALUE, cache_key, client


@pytest.fixture(autouse=True)
def _fresh(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "breaker", caching.Breaker())
    assert caching.breaker.allows()


@pytest.fixture
def alice() -> User:
    """She sees orders of her region."""
    alice = User.objects.create_user("alice", email="alice@example.com", name="Alice")
    RoleMembership.objects.create(user=alice, role=Role.objects.get(slug="regional-manager"))
    north = Region.objects.create(slug="north", name="North", countries=["Norway", "Sweden"])
    alice.regions.add(north)
    return alice


@pytest.fixture
def asked(alice: User) -> HttpRequest:
    return request_with(AuthToken.objects.create(alice)[1])


def request_with(token: str) -> HttpRequest:
    return RequestFactory().get("/", headers={"Authorization": f"Bearer {token}"})


def authenticated(asked: HttpRequest, extra_keys: Sequence[str] = ()) -> tuple[User | None, list[bytes | None] | None]:
    """What DRF's views know of a request: who sent it (None: it is refused, or names no token), and the entries."""
    by_token = TokenAuthentication(extra_keys)
    try:
        found = by_token.authenticate(Request(asked))
    except AuthenticationFailed:
        return None, by_token.entries
    return (None if found is None else found[0]), by_token.entries


def user_of(asked: HttpRequest) -> User | None:
    return authenticated(asked)[0]


def keys_of(asked: HttpRequest) -> list[str]:
    """The entries of the cache that say who sent a request."""
    return identities.identity_keys(token_digest(bearer_token(asked) or ""))


def wait_for_doubts(asked: HttpRequest) -> None:
    """Until the entries of a request are used again."""
    for _ in range(300):
        if DOUBT not in client().mget(keys_of(asked)):
            return
        time.sleep(0.01)
    raise AssertionError("the doubt stays")


def test_known_token_costs_no_query(asked: HttpRequest) -> None:
    assert user_of(asked) is not None
    with CaptureQueriesContext(connection) as queries:
        user, entries = authenticated(asked, [cache_key("order", "none")])
        assert user is not None
        assert entries == [None]
        assert (user.pk, user.email, str(user)) == ("alice", "alice@example.com", "Alice")
        assert user.has_perm("orders.view_order")
        assert not user.has_perm("orders.add_order")
        assert user.has_module_perms("orders")
        assert visible_countries(user) == frozenset({"Norway", "Sweden"})
    assert list(queries) == []
    assert user.country == ""  # loads


def test_other_entries_come_along(asked: HttpRequest) -> None:
    client().set(cache_key("order", "o1"), VALUE + b"{}")
    user, entries = authenticated(asked, [cache_key("order", "o1")])
    assert user is not None
    assert entries == [VALUE + b"{}"]
    stranger = request_with("nonsense")
    assert authenticated(stranger, [cache_key("order", "o1")]) == (None, [VALUE + b"{}"])
    nobody = RequestFactory().get("/")
    assert authenticated(nobody, [cache_key("order", "o1")]) == (None, None)  # not asked for: a session may follow


@pytest.mark.parametrize("header", ["Bearer", "Bearer  ", "Bearer nonsense", "Bearer a b", "Basic YTpi", "Bearer \xff"])
def test_header_that_names_no_token(asked: HttpRequest, header: str) -> None:
    assert user_of(RequestFactory().get("/", headers={"Authorization": header})) is None


def test_revoked_token(asked: HttpRequest) -> None:
    assert user_of(asked) is not None
    with transaction.atomic():
        digest = AuthToken.objects.get().digest
        AuthToken.objects.all().delete()
        tokens_changed([digest])
    assert user_of(asked) is None
    wait_for_doubts(asked)
    assert user_of(asked) is None


def test_expired_token_is_refused_from_the_cache_too(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request_with(AuthToken.objects.create(alice, expiry=timedelta(hours=1))[1])
    assert user_of(asked) is not None
    later = datetime.now(UTC) + timedelta(hours=1, seconds=1)
    monkeypatch.setattr(time, "time", later.timestamp)
    assert user_of(asked) is None


def test_token_that_was_expired_when_it_came_first(alice: User) -> None:
    assert user_of(request_with(AuthToken.objects.create(alice, expiry=timedelta(hours=-1))[1])) is None


def test_deactivated_user(asked: HttpRequest) -> None:
    assert user_of(asked) is not None
    with transaction.atomic():
        User.objects.filter(pk="alice").update(is_active=False)
        users_changed(["alice"])
    assert user_of(asked) is None
    wait_for_doubts(asked)
    assert user_of(asked) is None


def test_changed_permissions_of_a_role(asked: HttpRequest) -> None:
    first = user_of(asked)
    assert first is not None
    assert not first.has_perm("orders.add_order")
    with transaction.atomic():
        Role.objects.get(slug="regional-manager").permissions.add(Permission.objects.get(codename="add_order"))
        roles_changed(["regional-manager"])
    for _ in range(3):
        user = user_of(asked)
        assert user is not None
        assert user.has_perm("orders.add_order")
        wait_for_doubts(asked)
    # And is cached again, under the new generation.
    with CaptureQueriesContext(connection) as queries:
        assert user_of(asked) is not None
    assert list(queries) == []


def test_identity_loaded_before_a_change_and_stored_after_it_counts_for_nothing(
    asked: HttpRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow reader: it has read, the role changes and is committed, the doubt ends, and then the reader stores."""
    real = identities.load_scope

    def slow(user_id: str) -> identities.Scope:
        found = real(user_id)
        with transaction.atomic():
            Role.objects.get(slug="regional-manager").permissions.clear()
            authority_changed()
        client().delete(cache_key(*GENERATION))  # as if its time were over
        return found

    monkeypatch.setattr(identities, "load_scope", slow)
    assert user_of(asked) is not None
    monkeypatch.setattr(identities, "load_scope", real)
    user = user_of(asked)
    assert user is not None
    assert not user.has_perm("orders.view_order")


def test_replacing_an_old_generation_spares_a_doubt(asked: HttpRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_of(asked) is not None
    client().delete(cache_key(*GENERATION))
    real = identities.load_scope

    def revoked_meanwhile(user_id: str) -> identities.Scope:
        with transaction.atomic():
            users_changed([user_id])
        return real(user_id)

    monkeypatch.setattr(identities, "load_scope", revoked_meanwhile)
    assert user_of(asked) is not None
    assert client().get(keys_of(asked)[0]) == DOUBT


def test_users_with_several_roles_are_limited_where_only_the_regional_one_grants(alice: User) -> None:
    viewer = Role.objects.create(slug="viewer", name="Viewer")
    viewer.permissions.add(Permission.objects.get(codename="view_order"))
    RoleMembership.objects.create(user=alice, role=viewer)
    again = User.objects.get(pk="alice")
    assert visible_countries(again) is None
    assert visible_countries(again, permission="orders.change_order") == frozenset({"Norway", "Sweden"})
    assert visible_countries(again, permission="orders.add_order") == frozenset()
    boss = User.objects.create_superuser("boss", email="boss@example.com")
    assert visible_countries(boss) is None


def test_regional_manager_without_a_region_sees_nothing(alice: User) -> None:
    alice.regions.clear()
    assert visible_countries(User.objects.get(pk="alice")) == frozenset()


def test_without_redis_the_database_answers(asked: HttpRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "client", lambda: pytest.fail("asked a Redis that is known to be away"))
    caching.breaker.trip(OSError("gone"))
    user, extra = authenticated(asked, [cache_key("order", "o1")])
    assert user is not None
    assert user.has_perm("orders.view_order")
    assert extra == [None]


def test_superuser_by_token(alice: User) -> None:
    boss = User.objects.create_superuser("boss", email="boss@example.com")
    asked = request_with(AuthToken.objects.create(boss)[1])
    for _ in range(2):
        user = user_of(asked)
        assert user is not None
        assert user.has_perm("orders.anything")
        assert len(user.get_all_permissions()) > 20
