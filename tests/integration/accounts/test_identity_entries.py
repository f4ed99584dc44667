"""How long the cache says who has a token, and who may say it."""

import time

import pytest
from knox.models import AuthToken

from accounts import identities
from accounts.identities import GENERATION, identity_and, identity_keys
from accounts.models import User
from config.kernel import caching
from config.kernel.caching import cache_key, client


@pytest.fixture(autouse=True)
def _fresh(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "breaker", caching.Breaker())
    assert caching.breaker.allows()


@pytest.fixture
def digest() -> str:
    user = User.objects.create_user("alice", email="alice@example.com", name="Alice")
    return str(AuthToken.objects.create(user)[0].digest)


def test_identities_are_kept_for_seconds(digest: str) -> None:
    assert identity_and(digest, [])[0] is not None
    for key in identity_keys(digest):
        assert 0 < client().pttl(key) <= 5_000


def test_reader_that_was_stopped_replaces_nothing(digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = identity_keys(digest)[0]
    assert identity_and(digest, [])[0] is not None
    before = client().get(key)
    client().set(key, before)  # lives on
    client().delete(cache_key(*GENERATION))
    real = identities.load_scope

    def stopped(user_id: str) -> identities.Scope:
        while client().exists(f"{key}:loading"):
            time.sleep(0.005)
        return real(user_id)

    monkeypatch.setattr(caching, "LOAD_LOCK_MS", 20)
    monkeypatch.setattr(identities, "load_scope", stopped)
    assert identity_and(digest, [])[0] is not None
    assert client().get(key) == before
