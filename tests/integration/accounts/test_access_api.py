"""/tokens, /session, /users/{id}/password: getting in, and being kept out."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.test import Client as Browser
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.test import APIClient

from accounts.models import User
from config.kernel.caching import cache_key, client as redis
from tests.integration.accounts.conftest import Client, Person

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _fresh_counters() -> None:
    for key in redis().scan_iter(cache_key("throttle-*", "*")):
        redis().delete(key)


@pytest.fixture
def eve(person: Person) -> User:
    """She has a password."""
    eve = person("eve", "integrator")
    eve.set_password(PASSWORD)
    eve.save()
    return eve


def bearer(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


# Tokens


def test_token_is_shown_once_and_works(client_of: Client, charlie: User) -> None:
    client = client_of(charlie)
    made = client.post("/tokens", {"ttl_hours": 2})
    assert made.status_code == 201
    token = made.data["token"]
    assert made.data["key"] == token[:15]
    assert made["Location"] == f"/tokens/{token[:15]}"
    assert made["Cache-Control"] == "no-store"
    assert timedelta(hours=1.9) < made.data["expires_at"] - timezone.now() <= timedelta(hours=2)
    who = bearer(token).get("/session")
    assert (who.status_code, who.data["user"]["id"], who.data["kind"]) == (200, "charlie", "token")
    listed = client.get("/tokens")
    assert token not in listed.content.decode()
    assert listed.data["results"][0]["key"] == token[:15]
    assert [each["is_current"] for each in listed.data["results"]] == [False, True]
    assert not AuthToken.objects.filter(digest=token).exists()


def test_revoked_token_is_refused(client_of: Client, charlie: User) -> None:
    client = client_of(charlie)
    token = client.post("/tokens", {}).data["token"]
    assert bearer(token).get("/session").status_code == 200
    assert client.delete(f"/tokens/{token[:15]}").status_code == 204
    refused = bearer(token).get("/session")
    assert (refused.status_code, refused.data["code"]) == (401, "invalid_token")
    assert refused["WWW-Authenticate"] == "Bearer"
    assert client.delete(f"/tokens/{token[:15]}").status_code == 404


def test_expired_token_is_refused_and_removed_in_time(client_of: Client, charlie: User) -> None:
    _, token = AuthToken.objects.create(charlie, expiry=timedelta(seconds=-1))
    assert bearer(token).get("/session").status_code == 401
    client_of(charlie)
    assert AuthToken.objects.filter(user=charlie).count() == 1


def test_tokens_of_others(admin: APIClient, client_of: Client, charlie: User, bob: User) -> None:
    made = admin.post("/tokens", {"user_id": "charlie"})
    assert (made.status_code, made.data["user_id"]) == (201, "charlie")
    assert bearer(made.data["token"]).get("/session").data["user"]["id"] == "charlie"
    assert [each["key"] for each in admin.get("/tokens?user_id=charlie").data["results"]] == [made.data["key"]]
    outsider = client_of(charlie)
    for refused in (
        outsider.post("/tokens", {"user_id": "bob"}),
        outsider.get("/tokens?user_id=bob"),
        outsider.delete("/tokens/0123456789abcde?user_id=bob"),
        outsider.get("/tokens?user_id=nobody"),
    ):
        assert refused.status_code == 403
    assert admin.post("/tokens", {"user_id": "nobody"}).status_code == 404
    # Somebody else's token is not found among one's own.
    assert admin.delete(f"/tokens/{made.data['key']}").status_code == 404
    assert admin.delete(f"/tokens/{made.data['key']}?user_id=charlie").status_code == 204


def test_no_token_for_who_is_not_active(admin: APIClient, person: Person) -> None:
    person("gone", is_active=False)
    assert admin.post("/tokens", {"user_id": "gone"}).data["code"] == "user_inactive"


@pytest.mark.parametrize("ttl", [0, -1, 1.5, "24", 10**9, True])
def test_lifetime_that_cannot_be(admin: APIClient, ttl: object) -> None:
    assert admin.post("/tokens", {"ttl_hours": ttl}).status_code == 400


def test_token_gives_no_password_and_no_password_gives_the_token(client_of: Client, charlie: User) -> None:
    token = client_of(charlie).post("/tokens", {}).data["token"]
    digest = AuthToken.objects.get(token_key=token[:15]).digest
    assert bearer(digest).get("/session").status_code == 401
    assert bearer(token[:-1]).get("/session").status_code == 401


# Sessions


def test_signing_in_and_out(eve: User) -> None:
    browser = Browser(enforce_csrf_checks=True)
    assert browser.get("/session").status_code == 401
    answer = browser.post(
        "/session", {"email": "EVE@example.com", "password": PASSWORD}, content_type="application/json"
    )
    assert answer.status_code == 200
    assert (answer.json()["user"]["id"], answer.json()["kind"]) == ("eve", "session")
    assert "ingestion.add_upload" in answer.json()["permissions"]
    assert browser.get("/users/eve").status_code == 200
    # Changes need the CSRF token.
    refused = browser.post("/tokens", {}, content_type="application/json")
    assert (refused.status_code, refused["Content-Type"]) == (403, "application/problem+json")
    headers = {"X-CSRFToken": answer.json()["csrf_token"]}
    assert browser.post("/tokens", {}, content_type="application/json", headers=headers).status_code == 201
    assert browser.delete("/session").status_code == 403
    assert browser.delete("/session", headers=headers).status_code == 204
    assert browser.get("/session").status_code == 401


@pytest.mark.parametrize(
    "given",
    [("eve@example.com", "wrong"), ("nobody@example.com", PASSWORD), ("eve", PASSWORD), ("eve@example.com", "!")],
)
def test_wrong_credentials_are_told_alike(eve: User, given: tuple[str, str]) -> None:
    answer = APIClient().post("/session", {"email": given[0], "password": given[1]})
    assert (answer.status_code, answer.data["code"]) == (401, "invalid_credentials")
    assert "sessionid" not in answer.cookies


def test_who_was_imported_or_is_not_active_cannot_sign_in(eve: User) -> None:
    User.objects.create(pk="imported", email="imported@example.com", password="!", import_id=1)
    for password in ("!", "", " ", "imported"):
        answer = APIClient().post("/session", {"email": "imported@example.com", "password": password or "x"})
        assert answer.status_code == 401
    User.objects.filter(pk="eve").update(is_active=False)
    assert APIClient().post("/session", {"email": "eve@example.com", "password": PASSWORD}).status_code == 401


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_page_of_somebody_else_signs_nobody_in(eve: User, origin: str) -> None:
    body = {"email": "eve@example.com", "password": PASSWORD}
    assert APIClient().post("/session", body, headers={"Origin": origin}).status_code == 403
    assert APIClient().post("/session", body, headers={"Origin": "http://testserver"}).status_code == 200
    form = Browser().post("/session", body)
    assert form.status_code == 415


def test_deactivated_user_is_out_at_once(eve: User, admin: APIClient) -> None:
    browser = APIClient()
    browser.post("/session", {"email": "eve@example.com", "password": PASSWORD})
    assert browser.get("/session").status_code == 200
    admin.patch("/users/eve", {"is_active": False}, headers={"If-Match": "*"})
    assert browser.get("/session").status_code == 401


# Passwords


def test_own_password_needs_the_present_one(eve: User) -> None:
    browser, elsewhere = APIClient(), APIClient()
    for each in (browser, elsewhere):
        each.post("/session", {"email": "eve@example.com", "password": PASSWORD})
    for body, field, code in (
        ({"password": "another good one"}, "current_password", "required"),
        ({"password": "another good one", "current_password": "wrong"}, "current_password", "wrong_password"),
        ({"password": "12345678", "current_password": PASSWORD}, "password", "weak_password"),
        ({"password": "eve@example.com", "current_password": PASSWORD}, "password", "weak_password"),
    ):
        refused = browser.put("/users/eve/password", body)
        assert refused.status_code == 400
        assert (refused.data["errors"][0]["field"], refused.data["errors"][0]["code"]) == (field, code)
    body = {"password": "another good one", "current_password": PASSWORD}
    assert browser.put("/users/eve/password", body).status_code == 204
    assert browser.get("/session").status_code == 200
    assert elsewhere.get("/session").status_code == 401
    assert authenticate(username="eve@example.com", password="another good one") == eve


def test_passwords_of_others(admin: APIClient, client_of: Client, charlie: User, eve: User) -> None:
    assert client_of(charlie).put("/users/eve/password", {"password": "another good one"}).status_code == 403
    assert client_of(charlie).put("/users/nobody/password", {"password": "another good one"}).status_code == 403
    assert admin.put("/users/eve/password", {"password": "another good one"}).status_code == 204
    assert authenticate(username="eve@example.com", password="another good one") == eve
    assert admin.put("/users/nobody/password", {"password": "another good one"}).status_code == 404


def test_password_at_creation(admin: APIClient, client_of: Client, person: Person) -> None:
    new = {"id": "new", "name": "New", "email": "new@example.com", "password": PASSWORD}
    made = admin.post("/users", new)
    assert (made.status_code, made.data["has_password"]) == (201, True)
    assert PASSWORD not in made.content.decode()
    assert authenticate(username="new@example.com", password=PASSWORD) is not None


# Throttling


@pytest.fixture
def rates(settings: Any) -> Callable[..., None]:
    def set_rates(**rates: str) -> None:
        settings.THROTTLE_RATES = {**settings.THROTTLE_RATES, **{k.replace("_", "-"): v for k, v in rates.items()}}

    return set_rates


def test_guessing_passwords_is_slowed_by_email(eve: User, rates: Callable[..., None]) -> None:
    rates(logins_email="3/3600")
    for attempt in range(3):
        wrong = {"email": ("eve@example.com", "EVE@example.com ")[attempt % 2], "password": f"wrong {attempt}"}
        assert APIClient().post("/session", wrong, REMOTE_ADDR=f"10.0.0.{attempt}").status_code == 401
    right = {"email": "eve@example.com", "password": PASSWORD}
    refused = APIClient().post("/session", right)
    assert (refused.status_code, refused.data["code"]) == (429, "too_many_requests")
    assert 0 < int(refused["Retry-After"]) <= 3601
    # The admin's page is no way around it.
    page = Browser().post("/admin/login/?next=/admin/", {"username": "eve@example.com", "password": PASSWORD})
    assert page.status_code == 200
    assert b"errornote" in page.content


def test_guessing_passwords_is_slowed_by_address(eve: User, rates: Callable[..., None]) -> None:
    rates(logins_address="2/3600")
    for attempt in range(2):
        body = {"email": f"{attempt}@example.com", "password": "x"}
        # A header that anybody can write changes nothing.
        answer = APIClient().post("/session", body, headers={"X-Forwarded-For": f"10.0.0.{attempt}"})
        assert answer.status_code == 401
    assert APIClient().post("/session", {"email": "eve@example.com", "password": PASSWORD}).status_code == 429
    other = APIClient().post("/session", {"email": "eve@example.com", "password": PASSWORD}, REMOTE_ADDR="10.0.0.9")
    assert other.status_code == 200


def test_attempts_count_whatever_the_body_says(eve: User, rates: Callable[..., None]) -> None:
    rates(logins_address="2/3600")
    for raw in (b'{"a": 1, "a": 2}', b'{"email": "' + b"e" * (16 << 10) + b'"}'):
        assert APIClient().post("/session", raw, content_type="application/json").status_code in (400, 413)
    assert APIClient().post("/session", b"{", content_type="application/json").status_code == 429


def test_no_long_bodies_from_anybody() -> None:
    raw = json.dumps({"email": "eve@example.com", "password": "x" * (16 << 10)})
    refused = APIClient().post("/session", raw, content_type="application/json")
    assert (refused.status_code, refused.data["code"]) == (413, "too_large")


def test_changes_are_slowed_and_reading_is_not(
    client_of: Client, charlie: User, bob: User, rates: Callable[..., None]
) -> None:
    rates(writes="2/3600")
    client = client_of(charlie)
    assert [client.post("/tokens", {}).status_code for _ in range(3)] == [201, 201, 429]
    assert client.get("/tokens").status_code == 200
    assert client_of(bob).post("/tokens", {}).status_code == 201


def test_bad_tokens_are_slowed(charlie: User, client_of: Client, rates: Callable[..., None]) -> None:
    rates(bad_tokens="2/3600")
    assert [bearer("nonsense").get("/session").status_code for _ in range(3)] == [401, 401, 429]
    assert client_of(charlie).get("/session").status_code == 200


def test_without_redis_nobody_is_slowed(eve: User, rates: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    from config.kernel import caching

    rates(logins_address="1/3600", logins_email="1/3600", writes="1/3600")
    caching.breaker.trip(OSError("away"))
    monkeypatch.setattr(caching, "client", lambda: pytest.fail("asked"))
    for _ in range(3):
        assert APIClient().post("/session", {"email": "eve@example.com", "password": PASSWORD}).status_code == 200
