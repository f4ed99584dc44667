"""Orders served by gunicorn with two processes, on a database and cache of the test's own."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from config.kernel.caching import cache_key, client
from orders.drafts import LineDraft, OrderDraft
from orders.models import Order
from orders.outbox.models import Entry
from orders.services import order_place
from tests.integration.orders.people import People, token_of
from tests.serving import Site

SHORT = {"id": "o553", "item": "Shoes", "quantity": 2, "user_id": "carol"}


class Caller:
    """Asks one site with one token; each request over a connection of its own, so that any process may answer."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(
            method, self.url + path, json=body, headers={**self.headers, **names, "Connection": "close"}, timeout=30
        )


@pytest.fixture
def site(serve: Callable[..., Site], everybody: People) -> Site:
    return serve(processes=2, threads=4)


@pytest.fixture
def alice(site: Site, everybody: People) -> Caller:
    return Caller(site.url, token_of(everybody.alice))


def test_the_first_order(site: Site, alice: Caller) -> None:
    placed = alice("POST", "/orders", SHORT)
    assert (placed.status_code, placed.headers["Location"]) == (201, "/orders/o553")
    assert alice("POST", "/orders", SHORT).json()["code"] == "order_exists"
    assert alice("POST", "/orders", {**SHORT, "id": "o554", "user_id": "nobody"}).json()["code"] == "unknown_user"
    assert Caller(site.url, None)("POST", "/orders", SHORT).status_code == 401
    assert Caller(site.url, None)("GET", "/orders/o553").status_code == 401
    assert Caller(site.url, "0" * 64)("GET", "/orders/o553").status_code == 401
    found = alice("GET", "/orders/o553")
    assert (found.status_code, found.json()) == (200, placed.json())


def test_a_change_is_seen_by_all_processes_at_once(alice: Caller) -> None:
    alice("POST", "/orders", SHORT)
    for version in range(2, 42):
        for _ in range(2):
            alice("GET", "/orders/o553")  # so that it is in the cache, as far as it may be
        changed = alice("PATCH", "/orders/o553", {"country": f"C{version}x"}, If_Match="*")
        assert changed.headers["ETag"] == f'"{version}"'
        for _ in range(3):
            assert alice("GET", "/orders/o553").json()["version"] == version


def test_readers_and_writers_of_two_processes(alice: Caller) -> None:
    alice("POST", "/orders", SHORT)
    committed, stop, stale = [1], threading.Event(), []

    def write() -> None:
        for number in range(40):
            alice("PATCH", "/orders/o553", {"country": f"C{number}x"}, If_Match="*")
            committed[0] = number + 2
        stop.set()

    def read() -> None:
        while not stop.is_set():
            at_least = committed[0]
            version = alice("GET", "/orders/o553").json()["version"]
            if version < at_least:
                stale.append((version, at_least))

    threads = [threading.Thread(target=target) for target in (write, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert committed == [41]
    assert stale == []


def test_the_answer_from_the_cache_is_the_one_from_the_database(alice: Caller, database: str) -> None:
    draft = OrderDraft(
        id="ü/1.%", user_id="carol", country="DE", attributes={"ü": "\u2028</script>", "n": 1.5},
        lines=[LineDraft(sku="s/1", quantity=number + 1) for number in range(30)],
    )  # fmt: skip
    order_place(draft=draft, now=datetime.now(UTC))
    path = "/orders/%C3%BC%2F1.%25"
    loaded, cached = alice("GET", path), alice("GET", path)
    assert client().get(cache_key("order", "ü/1.%")) is not None
    assert loaded.content == cached.content
    assert loaded.json()["id"] == "ü/1.%"
    names = ("ETag", "Cache-Control", "Content-Type")
    assert [loaded.headers[name] for name in names] == [cached.headers[name] for name in names]
    for answer in (loaded, cached):
        assert answer.headers["Cache-Control"] == "private, no-cache"
    assert alice("GET", loaded.json()["lines_url"]).json()["results"] == loaded.json()["lines"]
    assert alice("GET", "/items/s%2F1").json()["sku"] == "s/1"


def test_conditional_and_other_requests_for_a_cached_order(alice: Caller) -> None:
    alice("POST", "/orders", SHORT)
    alice("GET", "/orders/o553")
    assert alice("GET", "/orders/o553", If_None_Match='"1"').status_code == 304
    assert alice("GET", "/orders/o553", If_None_Match='W/"1", "8"').status_code == 304
    assert alice("GET", "/orders/o553", If_None_Match="*").status_code == 304
    assert alice("GET", "/orders/o553", If_None_Match='"2"').status_code == 200
    unchanged = alice("GET", "/orders/o553", If_None_Match='"1"')
    assert (unchanged.content, unchanged.headers["ETag"]) == (b"", '"1"')
    head = alice("HEAD", "/orders/o553")
    assert (head.status_code, head.content, head.headers["ETag"]) == (200, b"", '"1"')
    assert alice("GET", "/orders/o553", Accept="text/html").status_code == 406
    assert alice("GET", "/orders/o553", Accept="text/html, application/json;q=0.5").status_code == 200
    assert alice("DELETE", "/orders/o553").status_code == 405
    assert "PATCH" in alice("OPTIONS", "/orders/o553").headers["Allow"]


def test_others_see_nothing_of_a_cached_order(site: Site, alice: Caller, everybody: People) -> None:
    alice("POST", "/orders", {**SHORT, "country": "FR"})
    alice("GET", "/orders/o553")
    for who, status in ((everybody.bob, 404), (everybody.charlie, 404), (everybody.carol, 200)):
        assert Caller(site.url, token_of(who))("GET", "/orders/o553").status_code == status


def test_strange_addresses(alice: Caller) -> None:
    for path, status in (
        ("/orders/%00", 400),
        ("/orders/%20a", 404),
        ("/orders/" + "x" * 129, 404),
        ("/orders/a/b", 404),
        ("/orders/", 404),
        ("/orders/%FF", 404),
        ("/orders/%ED%A0%80", 404),
        ("/orders/..%2F..%2Fetc", 404),
        ("/orders?user_id=%00", 400),
        ("/orders?user_id=%FF", 200),
    ):
        answer = alice("GET", path)
        assert answer.status_code == status, (path, answer.text)
        assert answer.headers["Content-Type"].startswith("application/"), path


def test_one_key_sent_many_times_at_once_makes_one_order(alice: Caller, database: str) -> None:
    body = {name: value for name, value in SHORT.items() if name != "id"}
    answers: list[requests.Response] = []

    def send() -> None:
        answers.append(alice("POST", "/orders", body, Idempotency_Key="k-1"))

    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 12
    assert {answer.status_code for answer in answers} <= {201, 409}
    refused = [answer for answer in answers if answer.status_code == 409]
    assert {answer.json()["code"] for answer in refused} <= {"request_in_progress"}
    last = alice("POST", "/orders", body, Idempotency_Key="k-1")
    assert (last.status_code, last.headers["Idempotent-Replayed"]) == (201, "true")
    bodies = {json.dumps(answer.json(), sort_keys=True) for answer in [*answers, last] if answer.status_code == 201}
    assert len(bodies) == 1
    assert Order.objects.count() == Entry.objects.count() == 1


def test_a_killed_process_loses_no_order(site: Site, alice: Caller, database: str) -> None:
    """Whoever got no answer asks again with the same key; afterwards each order is there exactly once."""

    def send(number: int) -> None:
        for _ in range(50):
            try:
                answer = alice("POST", "/orders", {**SHORT, "id": f"o{number}"}, Idempotency_Key=f"k{number}")
            except requests.RequestException:
                continue
            if answer.status_code == 201:
                return
            assert answer.json()["code"] == "request_in_progress"
        raise AssertionError(f"order {number} was never placed")

    def kill() -> None:
        for _ in range(3):
            stop.wait(0.3)
            site.kill_a_worker()

    stop = threading.Event()
    killer = threading.Thread(target=kill)
    killer.start()
    for number in range(60):
        send(number)
    killer.join()
    assert Order.objects.count() == Entry.objects.count() == 60
