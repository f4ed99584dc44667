"""Several at once, with real commits: nothing twice, nothing lost, nobody waits for ever."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import User
from config.kernel import caching
from orders.access import EVERYWHERE
from orders.caching import order_rendered
from orders.drafts import Amendment, LineDraft, OrderDraft
from orders.errors import (
    ItemRetiredError,
    OrderChangedError,
    OrderExistsError,
    OrderNotAmendableError,
    UnknownUserError,
)
from orders.models import Item, Order, OrderLine
from orders.outbox.models import Entry
from orders.services import item_create, item_retire, order_amend, order_cancel, order_change_status, order_place

NOW = datetime(2026, 3, 4, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _users(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "breaker", caching.Breaker())
    assert caching.breaker.allows()
    User.objects.bulk_create([User(id="carol", name="Carol"), User(id="dave", name="Dave")])


def at_once(actions: Sequence[Callable[[], Any]], *, seconds: float = 60) -> list[Any]:
    """Run each in a thread of its own, starting together; results or exceptions, in order."""
    results: list[Any] = [None] * len(actions)
    start = threading.Barrier(len(actions))

    def run(number: int) -> None:
        start.wait()
        try:
            results[number] = actions[number]()
        except Exception as error:
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
        assert not thread.is_alive(), "somebody waits for ever"
    return results


def place(order_id: str, *skus: str, user_id: str = "carol") -> Order:
    lines = [LineDraft(sku=sku, quantity=1) for sku in skus or ("Shoes",)]
    return order_place(draft=OrderDraft(id=order_id, user_id=user_id, lines=lines), now=NOW)


def amend(order_id: str, *, expected: set[int] | None = None, **header: Any) -> Order:
    return order_amend(order_id=order_id, amendment=Amendment(header=header), expected=expected, now=NOW)


def kinds(results: Sequence[Any]) -> list[str]:
    return sorted(type(result).__name__ for result in results)


def test_of_placings_with_one_id_one_wins() -> None:
    for round_number in range(5):
        order_id = f"o{round_number}"
        results = at_once([lambda order_id=order_id: place(order_id)] * 6)  # type: ignore[misc]
        assert kinds(results) == ["Order"] + ["OrderExistsError"] * 5
    assert Entry.objects.count() == Order.objects.count() == OrderLine.objects.count() == 5


def test_one_unknown_item_is_made_once_by_many() -> None:
    results = at_once([lambda number=number: place(f"o{number}", "new") for number in range(8)])  # type: ignore[misc]
    assert kinds(results) == ["Order"] * 8
    assert Item.objects.count() == 1


def test_unknown_items_in_any_order_do_not_deadlock() -> None:
    skus = [f"s{number}" for number in range(40)]
    for round_number in range(4):
        named = [f"{round_number}-{sku}" for sku in skus]
        actions = [
            lambda number=number, named=named: place(f"{named[0]}/{number}", *(named if number % 2 else named[::-1]))
            for number in range(6)
        ]
        assert kinds(at_once(actions)) == ["Order"] * 6


def test_of_amendments_of_one_version_one_wins() -> None:
    place("o1")
    actions = [lambda number=number: amend("o1", expected={1}, country=f"C{number}") for number in range(6)]
    assert kinds(at_once(actions)) == ["Order"] + ["OrderChangedError"] * 5
    assert Order.objects.get().version == 2


def test_amendments_without_a_condition_follow_one_another() -> None:
    place("o1")
    actions = [lambda number=number: amend("o1", country=f"C{number}") for number in range(8)]
    assert kinds(at_once(actions)) == ["Order"] * 8
    told = list(Entry.objects.order_by("pk").values_list("version", flat=True))
    assert told == list(range(1, 10))


def test_lines_added_at_once_get_numbers_of_their_own() -> None:
    place("o1")
    line = LineDraft(sku="Hats", quantity=1)

    def add() -> Order:
        return order_amend(order_id="o1", amendment=Amendment(lines=[line]), now=NOW)

    assert kinds(at_once([add] * 8)) == ["Order"] * 8
    assert list(OrderLine.objects.order_by("line_no").values_list("line_no", flat=True)) == list(range(1, 10))


def test_amending_against_cancelling() -> None:
    for round_number in range(8):
        order_id = f"o{round_number}"
        place(order_id)
        amended, cancelled = at_once(
            [
                lambda order_id=order_id: amend(order_id, country="AT"),  # type: ignore[misc]
                lambda order_id=order_id: order_cancel(order_id=order_id, now=NOW),  # type: ignore[misc]
            ]
        )
        order = Order.objects.get(pk=order_id)
        assert (order.status, isinstance(cancelled, Order)) == ("cancelled", True)
        if isinstance(amended, OrderNotAmendableError):
            assert (order.version, order.country) == (2, "")
        else:
            assert (order.version, order.country) == (3, "AT")
        versions = list(Entry.objects.filter(key=order_id).order_by("pk").values_list("version", flat=True))
        assert versions == list(range(1, order.version + 1))


def test_one_status_at_once_is_one_event() -> None:
    place("o1")
    results = at_once([lambda: order_change_status(order_id="o1", status="paid", now=NOW)] * 6)
    assert kinds(results) == ["Order"] * 6
    assert list(Entry.objects.order_by("pk").values_list("version", flat=True)) == [1, 2]


def test_placing_against_retiring() -> None:
    for round_number in range(8):
        sku = f"s{round_number}"
        item_create(sku=sku, now=NOW)
        order, item = at_once(
            [
                lambda sku=sku: place(f"o-{sku}", sku),  # type: ignore[misc]
                lambda sku=sku: item_retire(sku=sku, now=NOW),  # type: ignore[misc]
            ]
        )
        assert isinstance(item, Item)
        assert isinstance(order, Order | ItemRetiredError)
        with pytest.raises(ItemRetiredError):
            place(f"later-{sku}", sku)


def test_user_deleted_while_an_order_is_placed() -> None:
    results = []
    for round_number in range(6):
        user_id = f"u{round_number}"
        User.objects.create(id=user_id, name="Gone")

        def delete(user_id: str = user_id) -> str:
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM accounts_user WHERE id = %s", [user_id])
            return "deleted"

        results.append(at_once([lambda user_id=user_id: place(f"o-{user_id}", user_id=user_id), delete]))  # type: ignore[misc]
        orphans = Order.objects.exclude(user__in=User.objects.all()).filter(user__isnull=False)
        assert not orphans.exists()
    for order, deleted in results:
        assert isinstance(order, Order | UnknownUserError), order
        assert (deleted == "deleted") == isinstance(order, UnknownUserError)


def test_a_rolled_back_placing_leaves_nothing_and_frees_the_id() -> None:
    def fail() -> None:
        with transaction.atomic():
            place("o1", "new")
            raise RuntimeError("never mind")

    with pytest.raises(RuntimeError):
        fail()
    assert not Order.objects.exists()
    assert not Entry.objects.exists()
    assert not Item.objects.exists()
    assert place("o1").version == 1


def test_a_second_placing_waits_for_the_first_ones_fate() -> None:
    began, go_on = threading.Event(), threading.Event()

    def first() -> None:
        with transaction.atomic():
            place("o1")
            began.set()
            go_on.wait(30)
            raise RuntimeError("never mind")

    def second() -> Order:
        began.wait(30)
        threading.Timer(0.3, go_on.set).start()
        return place("o1")

    failed, order = at_once([first, second])
    assert isinstance(failed, RuntimeError)
    assert isinstance(order, Order)


def test_nobody_reads_the_old_order_after_a_commit() -> None:
    """Readers race writers; each reader must see at least the version that was committed before it asked."""
    place("o1")
    committed = [1]
    stale: list[tuple[int, int]] = []
    stop = threading.Event()

    def write() -> None:
        for number in range(60):
            committed[0] = amend("o1", country=f"C{number % 7}x{number}").version
        stop.set()

    def read() -> int:
        reads = 0
        while not stop.is_set():
            at_least = committed[0]
            found = order_rendered("o1")
            assert found is not None
            if int(found.version) < at_least:
                stale.append((int(found.version), at_least))
            assert f'"version":{found.version},'.encode() in found.body
            reads += 1
        return reads

    results = at_once([write, read, read, read])
    assert [result for result in results if isinstance(result, Exception)] == []
    assert stale == []


def test_header_and_lines_of_a_read_belong_together() -> None:
    """The quantity of the only line tells the version."""
    place("o1")
    stop = threading.Event()

    def write() -> None:
        for version in range(2, 60):
            lines = [LineDraft(line_no=1, quantity=version)]
            order_amend(order_id="o1", amendment=Amendment(lines=lines), access=EVERYWHERE, now=NOW)
        stop.set()

    def read() -> None:
        while not stop.is_set():
            found = order_rendered("o1")
            assert found is not None
            assert f'"quantity":{found.version},'.encode() in found.body, found.body

    assert [result for result in at_once([write, read, read]) if isinstance(result, Exception)] == []


def test_errors_name_what_they_are_about() -> None:
    place("o1")
    with pytest.raises(OrderExistsError, match="'o1'"):
        place("o1")
    with pytest.raises(OrderChangedError, match="version 1"):
        amend("o1", expected={7}, country="AT")
