"""Through gunicorn: ids in addresses, changes seen by other processes at once, races between them."""

import json
import statistics
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from django.db import connection, transaction
from django.test import Client as Browser
from knox.models import AuthToken

from accounts.authentication import token_digest
from accounts.caching import users_changed
from accounts.errors import UserInactiveError
from accounts.identities import identity_keys
from accounts.models import Role, RoleMembership, User
from accounts.services import token_create
from config.kernel import caching
from config.kernel.caching import BREAK_SECONDS, DOUBT, VALUE, cache_key, client as redis
from tests.redis_server import OwnRedis
from tests.serving import Site

SHOES = {"id": "u101", "name": "Shoes", "email": "john@gmail.com"}


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Any


def call(site: Site, method: str, path: str, token: str, body: Any = None, **headers: str) -> Answer:
    request = urllib.request.Request(
        f"{site.url}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        | {name.replace("_", "-"): value for name, value in headers.items()},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            raw = response.read()
            return Answer(response.status, json.loads(raw) if raw else None, response.headers)
    except urllib.error.HTTPError as error:
        raw = error.read()
        return Answer(error.code, json.loads(raw) if raw else None, error.headers)


@pytest.fixture
def alice(database: str) -> User:
    """She may do everything that a role can grant."""
    caching.breaker = caching.Breaker()
    alice = User.objects.create_user("alice", email="alice@example.com", name="Alice")
    RoleMembership.objects.create(user=alice, role=Role.objects.get(slug="admin"))
    return alice


def token_of(user: User) -> str:
    return token_create(user=user, ttl=timedelta(hours=1), now=datetime.now(UTC))[1]


@pytest.fixture
def token(alice: User) -> str:
    return token_of(alice)


@pytest.fixture
def site(serve: Callable[..., Site], alice: User) -> Site:
    return serve(processes=1)


@pytest.fixture
def other(serve: Callable[..., Site], alice: User) -> Site:
    """Another process of the same installation."""
    return serve(processes=1)


def test_the_issue_by_the_letter(site: Site, token: str) -> None:
    made = call(site, "POST", "/users", token, SHOES)
    assert (made.status, made.headers["Location"]) == (201, "/users/u101")
    found = call(site, "GET", "/users/u101", token)
    assert (found.status, found.body["email"]) == (200, "john@gmail.com")
    assert call(site, "POST", "/users", token, SHOES).body["code"] == "user_exists"
    assert call(site, "GET", "/users/u101", "wrong").status == 401
    assert call(site, "HEAD", "/users/u101", token)[:2] == (200, None)
    assert call(site, "GET", "/users/u101/", token).status == 404


def test_any_id_is_found_at_its_location(site: Site, token: str) -> None:
    for user_id in ("a/b", "/", "a.b/..", ".", "..", "%2F", "ü 💧/é", "a?b#c&d=e", "a%25b", "a+b", "{x}"):
        made = call(site, "POST", "/users", token, {**SHOES, "id": user_id})
        assert made.status == 201, user_id
        location = made.headers["Location"]
        assert location == f"/users/{quote(user_id, safe='')}"
        assert call(site, "GET", location, token).body["id"] == user_id
        assert call(site, "PUT", f"{location}/roles/integrator", token).status == 201, user_id
        assert call(site, "GET", f"{location}/roles", token).body["results"][0]["role"] == "integrator"
        assert call(site, "DELETE", location, token, If_Match="*").status == 204, user_id


def test_what_one_process_changes_another_shows_at_once(site: Site, other: Site, token: str) -> None:
    call(site, "POST", "/users", token, SHOES)
    for number in range(12):
        for each in (site, other):  # both have it in the cache, now and then under a doubt
            assert call(each, "GET", "/users/u101", token).status == 200
        changed = call(site, "PATCH", "/users/u101", token, {"name": f"Shoes {number}"}, If_Match="*")
        assert changed.status == 200
        assert call(other, "GET", "/users/u101", token).body["name"] == f"Shoes {number}"
        assert call(other, "GET", "/users/u101", token, If_None_Match=changed.headers["ETag"]).status == 304
        time.sleep(0.2)


def test_new_role_is_in_the_list_of_another_process_at_once(site: Site, other: Site, token: str) -> None:
    assert call(other, "GET", "/roles/desk", token).status == 404
    role = {"slug": "desk", "name": "Desk", "permissions": ["orders.view_order"]}
    assert call(site, "POST", "/roles", token, role).status == 201
    assert "desk" in [each["slug"] for each in call(other, "GET", "/roles", token).body["results"]]
    assert call(other, "GET", "/roles/desk", token).status == 200
    call(site, "PATCH", "/roles/desk", token, {"name": "Order desk"}, If_Match="*")
    assert call(other, "GET", "/roles/desk", token).body["name"] == "Order desk"


def test_power_given_and_taken_counts_in_another_process_at_once(site: Site, other: Site, token: str) -> None:
    bob = User.objects.create_user("bob", email="bob@example.com", name="Bob")
    his = token_of(bob)

    def statuses() -> set[int]:
        return {call(each, "GET", "/roles", his).status for each in (site, other) for _ in range(2)}

    assert statuses() == {403}
    assert call(site, "PUT", "/users/bob/roles/account-manager", token).status == 201
    assert statuses() == {200}
    wait_for_doubts(his)
    assert statuses() == {200}  # and now the identity is in the cache
    assert kept(his)
    call(other, "PATCH", "/roles/account-manager", token, {"permissions": []}, If_Match="*")
    assert statuses() == {403}
    call(site, "PATCH", "/roles/account-manager", token, {"permissions": ["accounts.view_role"]}, If_Match="*")
    assert statuses() == {200}
    wait_for_doubts(his)
    assert statuses() == {200}
    assert kept(his)
    call(site, "PATCH", "/users/bob", token, {"is_active": False}, If_Match="*")
    assert statuses() == {401}
    call(other, "PATCH", "/users/bob", token, {"is_active": True}, If_Match="*")
    assert statuses() == {200}
    wait_for_doubts(his)
    assert statuses() == {200}
    assert kept(his)
    assert call(site, "DELETE", f"/tokens/{his[:15]}?user_id=bob", token).status == 204
    assert statuses() == {401}
    wait_for_doubts(his)
    assert statuses() == {401}


def entries_of(token: str) -> list[bytes | None]:
    """What the cache holds of who has this token."""
    return redis().mget(identity_keys(token_digest(token)))  # type: ignore[no-any-return]


def wait_for_doubts(token: str) -> None:
    """Until none is left about who has this token."""
    for _ in range(3_000):
        if DOUBT not in entries_of(token):
            return
        time.sleep(0.01)
    raise AssertionError("the doubt stays")


def kept(token: str) -> bool:
    """Whether the next request is answered by what the cache knows of this token."""
    return all(entry is not None and entry.startswith(VALUE) for entry in entries_of(token))


def test_change_in_the_admin_is_seen_at_once(site: Site, token: str) -> None:
    call(site, "POST", "/users", token, SHOES)
    assert call(site, "GET", "/users/u101", token).body["name"] == "Shoes"
    browser = Browser()
    browser.force_login(User.objects.create_superuser("root", email="root@example.com", name="Root"))
    inlines = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    form = {"name": "Boots", "email": "john@gmail.com", "country": "", "is_active": "on", **inlines}
    assert browser.post("/admin/accounts/user/u101/change/", form).status_code == 302
    found = call(site, "GET", "/users/u101", token)
    assert (found.body["name"], found.headers["ETag"]) == ("Boots", '"2"')


def test_change_by_an_import_is_seen_at_once(site: Site, token: str) -> None:
    """As the resolve stage does it: the row by SQL, then the mark, then the commit."""
    call(site, "POST", "/users", token, SHOES)
    call(site, "GET", "/users/u101", token)
    assert (redis().get(cache_key("user", "u101")) or b"").startswith(VALUE)
    with transaction.atomic():
        User.objects.filter(pk="u101").update(country="Norway", version=2)
        users_changed(["u101"])
        assert call(site, "GET", "/users/u101", token).body["country"] == ""
    assert call(site, "GET", "/users/u101", token).body["country"] == "Norway"


def test_of_many_changes_of_one_version_one_wins(site: Site, other: Site, token: str) -> None:
    call(site, "POST", "/users", token, SHOES)
    start = threading.Barrier(8)

    def change(number: int) -> int:
        start.wait()
        each = (site, other)[number % 2]
        return call(each, "PATCH", "/users/u101", token, {"name": f"Shoes {number}"}, If_Match='"1"').status

    for version in range(1, 4):
        call(site, "GET", "/users/u101", token)
        with ThreadPoolExecutor(8) as pool:
            statuses = sorted(pool.map(change, range(8)))
        if version == 1:
            assert statuses == [200] + [412] * 7
        else:
            assert statuses == [412] * 8
    assert User.objects.get(pk="u101").version == 2


def test_of_many_creations_of_one_id_or_email_one_wins(site: Site, other: Site, token: str) -> None:
    def create(number: int) -> tuple[int, str]:
        same_id = number % 2
        body = {**SHOES, "email": f"{number}@gmail.com"} if same_id else {**SHOES, "id": f"x{number}"}
        answer = call((site, other)[number // 2 % 2], "POST", "/users", token, body)
        return answer.status, answer.body.get("code", "")

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(create, range(12)))
    assert set(answers) <= {(201, ""), (409, "user_exists"), (400, "invalid")}
    assert User.objects.filter(pk="u101").count() == 1
    assert User.objects.filter(email="john@gmail.com").count() == 1
    assert User.objects.exclude(pk="alice").count() == answers.count((201, "")) == 2


def test_same_idempotency_key_at_once_makes_one_user(site: Site, other: Site, token: str) -> None:
    body = {"name": "Shoes", "email": "john@gmail.com"}

    def create(number: int) -> Answer:
        return call((site, other)[number % 2], "POST", "/users", token, body, Idempotency_Key="k1")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(create, range(8)))
    assert {answer.status for answer in answers} <= {201, 409}
    assert len({answer.body["id"] for answer in answers if answer.status == 201}) == 1
    assert User.objects.exclude(pk="alice").count() == 1


def test_token_made_while_its_user_is_deactivated_is_of_no_use(alice: User, connect: Callable[[], Any]) -> None:
    """The change holds the user's row; the token waits for it, and then is refused."""

    def make() -> str:
        try:
            return token_of(alice)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            User.objects.filter(pk="alice").update(is_active=False)
            users_changed(["alice"])
            made = pool.submit(make)
            wait_for_lock(connect())
            assert not made.done()
        with pytest.raises(UserInactiveError):
            made.result(60)
    assert AuthToken.objects.count() == 0


def wait_for_lock(watcher: Any) -> None:
    """Until somebody waits for a row of this test's database."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with watcher.cursor() as cursor:
        for _ in range(6_000):
            cursor.execute(waiting)
            if cursor.fetchone()[0]:
                return
            time.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


def test_frozen_redis_blocks_nobody(serve: Callable[..., Site], token: str, own_redis: OwnRedis) -> None:
    """Of many readers one now and then waits for it, as long as is allowed: once in BREAK_SECONDS."""
    allowed = 2.0  # seconds: longer than a request takes on a busy machine
    site = serve(processes=1, env={"REDIS_URL": own_redis.url, "REDIS_TIMEOUT_SECONDS": str(allowed)})
    call(site, "POST", "/users", token, SHOES)
    usual = statistics.median(_seconds(site, token) for _ in range(15))
    own_redis.freeze()
    try:
        began = time.monotonic()
        took = []
        for _ in range(60):  # longer than BREAK_SECONDS
            took.append(_seconds(site, token))
            time.sleep(0.1)
        probes = (time.monotonic() - began) / BREAK_SECONDS + 2
        changed = call(site, "PATCH", "/users/u101", token, {"name": "Boots"}, If_Match="*")
        assert changed.status == 200
        assert call(site, "GET", "/users/u101", token).body["name"] == "Boots"
    finally:
        own_redis.thaw()
    assert 1 <= sum(seconds >= allowed for seconds in took) <= probes
    assert statistics.median(took) < 10 * usual + allowed / 4
    for _ in range(80):  # Redis still has the old name, and must not be believed
        assert call(site, "GET", "/users/u101", token).body["name"] == "Boots"
        time.sleep(0.1)


def _seconds(site: Site, token: str) -> float:
    started = time.monotonic()
    assert call(site, "GET", "/users/u101", token).status == 200
    return time.monotonic() - started
