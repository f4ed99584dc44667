"""Idempotency-Key: missing, repeated, reused, malformed; after a failure, after a day, beside a running request."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory

from accounts.models import User
from config.kernel.api.idempotency import (
    KEEP_HOURS,
    IdempotencyKeyInvalidError,
    IdempotencyKeyReusedError,
    RequestInProgressError,
    once,
    prune,
)
from config.kernel.models import CacheDebt, IdempotencyKey

NOW = datetime.now(UTC)


def ask(body: Any = None, *, key: str | None = "k1", who: str = "alice", path: str = "/things") -> Request:
    """A POST of somebody, with or without a key."""
    headers = {} if key is None else {"Idempotency-Key": key}
    request = Request(APIRequestFactory().post(path, body or {"a": 1}, format="json", headers=headers), [JSONParser()])
    request.user = User(id=who)
    return request


def thing(status: int = 201, **data: Any) -> Response:
    """Make something that can be counted, and answer."""
    CacheDebt.objects.create(key="thing", created_at=NOW)
    number = CacheDebt.objects.count()
    return Response({"number": number, "at": NOW, **data}, status=status, headers={"Location": f"/things/{number}"})


def test_without_a_key_everything_happens_again(db: None) -> None:
    numbers = [once(ask(key=None), thing).data["number"] for _ in range(2)]
    assert numbers == [1, 2]
    assert not IdempotencyKey.objects.exists()


def test_a_repetition_gets_the_first_answer(db: None) -> None:
    first, again = once(ask(), thing), once(ask(), thing)
    assert CacheDebt.objects.count() == 1
    assert (again.status_code, again.headers["Location"]) == (201, first.headers["Location"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.data["number"] == first.data["number"]
    assert datetime.fromisoformat(again.data["at"]) == NOW


@pytest.mark.parametrize(
    ("body", "path"),
    [({"a": 2}, "/things"), ({"a": 1, "b": None}, "/things"), ({"a": 1}, "/others"), ({"a": 1}, "/things?x")],
)
def test_another_request_under_the_same_key_is_refused(db: None, body: Any, path: str) -> None:
    once(ask(), thing)
    with pytest.raises(IdempotencyKeyReusedError):
        once(ask(body, path=path), thing)
    assert CacheDebt.objects.count() == 1


def test_the_order_of_names_makes_no_other_request(db: None) -> None:
    once(ask({"a": 1, "b": 2}), thing)
    assert once(ask({"b": 2, "a": 1}), thing).headers["Idempotent-Replayed"] == "true"


def test_keys_belong_to_their_sender(db: None) -> None:
    once(ask(), thing)
    assert "Idempotent-Replayed" not in once(ask(who="bob"), thing).headers
    assert CacheDebt.objects.count() == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "a\x7fb", "a\n", " a", "ü"])
def test_keys_that_cannot_be(db: None, key: str) -> None:
    with pytest.raises(IdempotencyKeyInvalidError):
        once(ask(key=key), thing)
    assert not CacheDebt.objects.exists()


@pytest.mark.parametrize("key", ["x" * 255, "!", "a b", '"8e03978e-40d5-43e8-bc93-6894a57f9324"', "%s {} ' --"])
def test_keys_that_can(db: None, key: str) -> None:
    once(ask(key=key), thing)
    assert once(ask(key=key), thing).headers["Idempotent-Replayed"] == "true"


def test_a_failure_leaves_nothing_and_the_key_can_be_used_again(db: None) -> None:
    def fail() -> Response:
        thing()
        raise RuntimeError("no room")

    with pytest.raises(RuntimeError), transaction.atomic():
        once(ask(), fail)
    assert not CacheDebt.objects.exists()
    assert not IdempotencyKey.objects.exists()
    assert once(ask({"a": 9}), thing).data["number"] == 1


def test_answers_of_ours_that_failed_are_not_kept(db: None) -> None:
    assert once(ask(), lambda: thing(503)).status_code == 503
    assert once(ask(), lambda: thing(201)).status_code == 201


def test_refusals_that_are_answers_are_kept(db: None) -> None:
    once(ask(), lambda: Response({"code": "no"}, status=409))
    assert once(ask(), thing).status_code == 409


def test_after_a_day_a_key_is_new(db: None) -> None:
    once(ask(), thing)
    IdempotencyKey.objects.update(created_at=NOW - timedelta(hours=KEEP_HOURS, seconds=1))
    assert once(ask({"a": 2}), thing).data["number"] == 2
    assert once(ask({"a": 2}), thing).headers["Idempotent-Replayed"] == "true"
    assert IdempotencyKey.objects.count() == 1


def test_pruning_forgets_what_is_older_than_a_day(db: None) -> None:
    for key, hours in (("old", KEEP_HOURS + 1), ("young", KEEP_HOURS - 1)):
        once(ask(key=key), thing)
        IdempotencyKey.objects.filter(key=key).update(created_at=NOW - timedelta(hours=hours))
    assert prune(now=NOW) == 1
    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["young"]


def in_thread(action: Callable[[], Any]) -> Any:
    """Run it over a connection of its own; its result or exception."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(action())
        except Exception as error:
            found.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    return found[0]


def test_beside_a_request_that_still_runs(database: str) -> None:
    seen: list[Any] = []

    def slow() -> Response:
        seen.append(in_thread(lambda: once(ask(), thing)))
        seen.append(in_thread(lambda: once(ask({"other": 1}), thing)))
        seen.append(in_thread(lambda: once(ask(key="k2"), thing)))
        seen.append(in_thread(lambda: once(ask(who="bob"), thing)))
        return thing()

    once(ask(), slow)
    assert [type(each) for each in seen] == [RequestInProgressError, RequestInProgressError, Response, Response]
    assert in_thread(lambda: once(ask(), thing)).headers["Idempotent-Replayed"] == "true"
    assert CacheDebt.objects.count() == 3


def test_the_key_is_kept_only_with_what_was_made(database: str) -> None:
    def lost() -> None:
        with transaction.atomic():
            once(ask(), thing)
            raise RuntimeError("the process ends before the commit")

    with pytest.raises(RuntimeError):
        lost()
    assert not IdempotencyKey.objects.exists()
    assert not CacheDebt.objects.exists()
