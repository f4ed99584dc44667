"""The cache of rows: never stale after a commit, one loader at a time, and nobody waits for a dead Redis."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection, transaction
from redis import Redis

from config.kernel import caching
from config.kernel.caching import DOUBT, VALUE, cache_key, cached, client, mark_changed
from config.kernel.models import CacheDebt


@pytest.fixture(autouse=True)
def _fresh(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "breaker", caching.Breaker())
    monkeypatch.setattr(caching, "teller", caching.Teller())
    assert caching.breaker.allows()


def dead_redis() -> Any:
    """A client of a port where nobody listens."""
    return Redis(port=1, socket_connect_timeout=0.1, socket_timeout=0.1)


def test_second_reader_is_served_from_the_cache() -> None:
    assert cached("thing", "a", lambda: b"1") == b"1"
    assert cached("thing", "a", lambda: b"2") == b"1"


def test_what_is_missing_is_not_remembered() -> None:
    assert cached("thing", "missing", lambda: None) is None
    assert cached("thing", "missing", lambda: b"now") == b"now"


def test_old_value_is_gone_before_the_commit() -> None:
    cached("thing", "b", lambda: b"old")
    with transaction.atomic():
        mark_changed("thing", ["b"])
        assert client().get(cache_key("thing", "b")) == DOUBT
    assert cached("thing", "b", lambda: b"new") == b"new"


def test_value_read_before_a_commit_cannot_be_stored_after_it() -> None:
    def load_slowly() -> bytes:
        with transaction.atomic():
            mark_changed("thing", ["c"])
        return b"old"  # read before that commit, stored after it

    assert cached("thing", "c", load_slowly) == b"old"
    assert cached("thing", "c", lambda: b"new") == b"new"


def test_marking_outside_a_transaction_is_refused() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        mark_changed("thing", ["d"])


def test_only_one_of_many_readers_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "LOAD_WAIT_SECONDS", 10)  # a busy machine must not decide
    monkeypatch.setattr(caching, "LOAD_LOCK_MS", 20_000)
    loads: list[int] = []

    def load() -> bytes:
        loads.append(1)
        time.sleep(0.02)
        return b"v"

    def read() -> None:
        assert cached("thing", "hot", load) == b"v"
        connection.close()

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1


def test_without_redis_reads_go_on_and_changes_become_debts(monkeypatch: pytest.MonkeyPatch) -> None:
    real = client()
    real.set(cache_key("thing", "e"), VALUE + b"old")
    monkeypatch.setattr(caching, "client", dead_redis)
    with transaction.atomic():
        mark_changed("thing", ["e"])
    assert CacheDebt.objects.get().key == cache_key("thing", "e")
    assert cached("thing", "e", lambda: b"new") == b"new"
    # Redis is back with the old value; whoever uses it again settles the debt before.
    monkeypatch.setattr(caching, "client", lambda: real)
    monkeypatch.setattr(caching, "breaker", caching.Breaker())
    assert cached("thing", "e", lambda: b"new") == b"new"
    assert real.get(cache_key("thing", "e")) == DOUBT


def test_a_dead_redis_is_asked_once_in_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def dead() -> Any:
        asked.append(1)
        return dead_redis()

    monkeypatch.setattr(caching, "client", dead)
    for _ in range(20):
        assert cached("thing", "f", lambda: b"v") == b"v"
    assert len(asked) == 1


@pytest.mark.parametrize("failures", [1, 4])
def test_doubt_that_redis_did_not_take_is_told_after_the_commit(monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
    """Other processes may reach Redis, and do not know that this one did not."""
    real, key = client(), cache_key("thing", "g")
    real.set(key, VALUE + b"old")
    answers = iter([dead_redis()] * failures)
    monkeypatch.setattr(caching, "client", lambda: next(answers, real))
    monkeypatch.setattr(caching, "TELL_AGAIN_SECONDS", 0.01)
    with transaction.atomic():
        mark_changed("thing", ["g"])
        assert real.get(key) == VALUE + b"old"
    if failures > 1:
        wait_until(lambda: real.get(key) == DOUBT)
    assert real.get(key) == DOUBT
    assert 0 < real.pttl(key) <= caching.DOUBT_AFTER_MS


def test_what_changes_again_while_it_is_told_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[str]] = []

    def tell(keys: list[str]) -> bool:
        told.append(keys)
        if len(told) == 1:
            caching.teller.tell(["x"])
        return True

    monkeypatch.setattr(caching, "_put_doubts_anew", tell)
    caching.teller.tell(["x", "y"])
    wait_until(lambda: len(told) == 2)
    assert told == [["x", "y"], ["x"]]


def test_debt_that_is_committed_after_settling_is_settled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "SETTLE_AGAIN_SECONDS", 0.0)
    late = caching.Breaker()
    assert late.allows()
    for key, expected in (("h", DOUBT), ("i", VALUE + b"old")):  # twice is enough
        client().set(cache_key("thing", key), VALUE + b"old")
        CacheDebt.objects.create(key=cache_key("thing", key), created_at=datetime.now(UTC))
        monkeypatch.setattr(late, "_open_until", 0.0)
        assert late.allows()
        assert client().get(cache_key("thing", key)) == expected


def test_reader_that_was_stopped_stores_nothing_when_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis keeps the time, however little the reader thinks has passed."""
    monkeypatch.setattr(caching, "LOAD_LOCK_MS", 20)
    key = cache_key("thing", "j")

    def stopped() -> bytes:
        wait_until(lambda: not client().exists(f"{key}:loading"))
        client().set(f"{key}:loading", b"of another", px=60_000)
        return b"old"

    assert cached("thing", "j", stopped) == b"old"
    assert client().get(key) is None
    assert client().get(f"{key}:loading") == b"of another"


def test_who_waited_in_vain_stores_nothing() -> None:
    client().set(f"{cache_key('thing', 'k')}:loading", b"of another", px=60_000)
    assert cached("thing", "k", lambda: b"v") == b"v"
    assert client().get(cache_key("thing", "k")) is None


def wait_until(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)
