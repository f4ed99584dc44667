"""
Everything that writes orders, at once, through a relay and Apache Kafka: eight writers that also roll back, a
transaction that stays open, a load whose orders are amended, cancelled and loaded again before they are published.

What is on the broker afterwards is compared with what the writers know that they have committed.
"""

import json
import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from django.db import connection, transaction

from accounts.models import User
from orders.drafts import Amendment, LineDraft, OrderDraft
from orders.models import Order
from orders.services import order_amend, order_cancel, order_place
from tests.apache_kafka import ApacheKafka
from tests.conftest import Manage
from tests.flows.files import csv_text
from tests.integration.outbox.relaying import Relays, Sent, first_versions, wait_until

WRITERS: Final = 8
LOADED: Final = 1_500
COLUMNS: Final = ("order_id", "user_id", "sku", "quantity", "country")


class Ledger:
    """What was committed: of each order and version, country and status."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, int], tuple[str, str]] = {}
        self._lock = threading.Lock()

    def note(self, order: Order) -> None:
        with self._lock:
            self.known[order.id, order.version] = order.country, order.status


class RolledBackError(Exception):
    """The writer changed its mind."""


@pytest.fixture
def relays(database: str, manage: Manage, apache_kafka: ApacheKafka, kafka_prefix: str) -> Iterator[Relays]:
    relays = Relays(manage, apache_kafka, kafka_prefix)
    yield relays
    relays.end()


@pytest.mark.parametrize("open_seconds", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_nothing_is_missed_and_nothing_invented(
    relays: Relays, manage: Manage, tmp_path: Path, open_seconds: float
) -> None:
    User.objects.bulk_create([User(id=f"u{number}", name=f"User {number}") for number in range(WRITERS)])
    ledger, done, failures = Ledger(), threading.Event(), []

    def guarded(body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            connection.close()

    first = load(manage, tmp_path, country="CH")
    assert first.wait(120) == 0
    # No relay runs yet: every one of these changes finds the load unpublished.
    bodies = [
        *(lambda number=number: write_at_random(number, ledger, done) for number in range(WRITERS)),
        lambda: stay_open(ledger, open_seconds),
        lambda: change_loaded(ledger),
    ]
    threads = [threading.Thread(target=guarded, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    threads[-1].join(120)
    second = load(manage, tmp_path, "--on-conflict", "update", country="AT")
    relay = relays.start()
    assert second.wait(120) == 0, second.communicate()
    threads[-2].join(open_seconds + 60)
    done.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not failures

    expected = {f"{key}:{version}" for key, version in ledger.known}
    expected |= {f"load-{number}:1" for number in range(LOADED)}
    current = {order.id: order for order in Order.objects.all()}
    expected |= {f"{order.id}:{order.version}" for order in current.values()}
    sent = relays.wait_for(sorted(expected))
    wait_until(all_acknowledged, relays.log)
    assert relay.poll() is None
    sent = relays.read()

    assert {event.id for event in sent} == expected
    for key, versions in first_versions(sent).items():
        assert versions == list(range(1, current[key].version + 1))
    for event in sent:
        assert_told_as_it_was(event, ledger, current)


def load(manage: Manage, directory: Path, *options: str, country: str) -> Any:
    rows = [(f"load-{number}", f"u{number % WRITERS}", f"i{number % 7}", 1, country) for number in range(LOADED)]
    path = directory / f"{country}.csv"
    path.write_text(csv_text(rows, COLUMNS))
    return manage.start("ingest_csv", str(path), "--workers", "2", *options)


def write_at_random(number: int, ledger: Ledger, done: threading.Event) -> None:
    """Place, amend and cancel orders of one's own; a quarter is rolled back."""
    chance = random.Random(number)
    mine: list[str] = []
    count = 0
    while not done.wait(0.03):
        count += 1
        try:
            with transaction.atomic():
                if not mine or chance.random() < 0.3:
                    order = place(f"w{number}-{count}", user_id=f"u{number}")
                elif chance.random() < 0.8:
                    amendment = Amendment(header={"country": chance.choice(["DE", "FR", "IT", "NO"])})
                    order = order_amend(order_id=chance.choice(mine), amendment=amendment, now=now())
                else:
                    order = order_cancel(order_id=mine.pop(chance.randrange(len(mine))), now=now())
                if chance.random() < 0.25:
                    raise RolledBackError
        except RolledBackError:
            mine = list(
                Order.objects.filter(id__startswith=f"w{number}-", status="placed").values_list("id", flat=True)
            )
            continue
        ledger.note(order)
        if order.status == "placed" and order.id not in mine:
            mine.append(order.id)


def stay_open(ledger: Ledger, seconds: float) -> None:
    """Its event has a low number and becomes visible when thousands of later ones were sent."""
    with transaction.atomic():
        order = place("late", user_id="u0")
        threading.Event().wait(seconds)
    ledger.note(order)


def change_loaded(ledger: Ledger) -> None:
    for number in range(0, LOADED, 15):
        amended = order_amend(order_id=f"load-{number}", amendment=Amendment(header={"country": "SE"}), now=now())
        ledger.note(amended)
        if number % 30 == 0:
            ledger.note(order_cancel(order_id=amended.id, now=now()))


def place(order_id: str, *, user_id: str) -> Order:
    line = LineDraft(sku="i1", quantity=2)
    return order_place(draft=OrderDraft(id=order_id, user_id=user_id, lines=[line], country="CH"), now=now())


def assert_told_as_it_was(event: Sent, ledger: Ledger, current: dict[str, Order]) -> None:
    told = json.loads(event.value)
    assert (told["order_id"], told["version"]) == (event.key, event.version)
    found = told["country"], told["status"]
    if (event.key, event.version) in ledger.known:
        assert found == ledger.known[event.key, event.version]
    elif event.version == current[event.key].version:
        assert found == (current[event.key].country, current[event.key].status)
    else:
        assert found == ("CH", "placed"), "as it was loaded first"
    assert told["lines"]


def all_acknowledged() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(published_at) FROM outbox_receipt")
        entries, published = cursor.fetchone()
    return bool(entries == published > 0)


def now() -> datetime:
    return datetime.now(UTC)
