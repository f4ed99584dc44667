"""Events of orders: whole, alike however they come about, and every version with its own content."""

import json
import random
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from django.db import connection, transaction

from accounts.models import User
from config.kernel import caching
from orders.drafts import Amendment, LineDraft, OrderDraft
from orders.events import CANCELLED, PLACED, EventsMissingError, expand, keep_pending, placed_in_bulk, tell
from orders.models import Item, Order, OrderLine
from orders.outbox.batches import close, lanes_with_news, load_entry, open_batch, read_runs
from orders.outbox.events import Event
from orders.outbox.expansion import expanded
from orders.outbox.models import Entry, Receipt
from orders.services import order_amend, order_cancel, order_change_status, order_place
from tests.integration.outbox.reading import Reader, by_key

NOW = datetime(2026, 3, 4, 10, 0, 0, 500, tzinfo=UTC)
SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "events" / "order.v1.schema.json").read_text())
SOURCE = "import:7/3"


@pytest.fixture
def reader(database: str, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.setattr(caching, "breaker", caching.Breaker())
    User.objects.bulk_create([User(id="carol", name="Carol"), User(id='d"a\\ve', name="Dave")])
    Item.objects.bulk_create([Item(sku=sku, name=sku) for sku in ("Shoes", "Ha\"t's")])
    return Reader().claim()


def load(*ids: str, version: int = 1) -> None:
    """Orders as a chunk of an import places them, with their bulk entry."""
    with transaction.atomic(), connection.cursor() as cursor:
        for number, order_id in enumerate(ids):
            Order.objects.create(
                id=order_id, user_id="carol", status="placed", country="CH", currency="CHF", version=version,
                import_version=version, import_id=7, import_chunk=3, import_record=number + 1, created_at=NOW,
                updated_at=NOW,
            )  # fmt: skip
            OrderLine.objects.create(order_id=order_id, line_no=1, item_id="Shoes", quantity=1, import_id=7)
        placed_in_bulk(cursor, order_ids=ids, source=SOURCE)


def amend(order_id: str, country: str) -> Order:
    return order_amend(order_id=order_id, amendment=Amendment(header={"country": country}), now=NOW)


def data_of(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event.data)
    return found


def test_a_placed_order_is_told_whole(reader: Reader) -> None:
    lines = [
        LineDraft(sku="Shoes", quantity=2, unit_price=Decimal("12.5")),
        LineDraft(sku="Ha\"t's", quantity=1),
    ]
    draft = OrderDraft(
        id='o/"1\\', user_id='d"a\\ve', lines=lines, country="CH", currency="CHF",
        attributes={"gift": True, "ü": ['"']}, ordered_at=datetime(2026, 3, 3, tzinfo=UTC),
    )  # fmt: skip
    order_place(draft=draft, now=NOW)
    (event,) = reader.drain()
    assert data_of(event) == {
        "order_id": 'o/"1\\', "version": 1, "user_id": 'd"a\\ve', "status": "placed",
        "ordered_at": "2026-03-03T00:00:00Z", "country": "CH", "currency": "CHF",
        "lines": [
            {"line_no": 1, "sku": "Shoes", "quantity": 2, "unit_price": "12.5000"},
            {"line_no": 2, "sku": "Ha\"t's", "quantity": 1, "unit_price": None},
        ],
        "attributes": {"gift": True, "ü": ['"']}, "import": None,
        "created_at": "2026-03-04T10:00:00.000500Z", "updated_at": "2026-03-04T10:00:00.000500Z",
    }  # fmt: skip
    jsonschema.validate(data_of(event), SCHEMA)
    assert event[:8] == (
        "orders", 'o/"1\\:1', PLACED, 'o/"1\\', 1, 'd"a\\ve', NOW, "2026-03-04T10:00:00.000500Z"
    )  # fmt: skip


def test_a_guest_is_told_by_the_order(reader: Reader) -> None:
    load("o1")
    Order.objects.update(user=None)
    (event,) = reader.drain()
    assert (event.partition_key, data_of(event)["user_id"]) == ("o1", None)
    assert data_of(event)["import"] == {"id": 7, "chunk": 3, "record": 1}
    jsonschema.validate(data_of(event), SCHEMA)


def test_told_kept_and_expanded_events_are_the_same(reader: Reader) -> None:
    load("o1")
    (made,) = expand([("o1", 1)])
    with transaction.atomic(), connection.cursor() as cursor:
        tell(cursor, orders=[("o1", 1)], type=PLACED, source="test")
        keep_pending(cursor, order_ids=["o1"], source="test")
    assert reader.drain() == [made] * 3


def test_all_changes_tell_their_own_content(reader: Reader) -> None:
    order_place(draft=OrderDraft(id="o1", user_id="carol", lines=[LineDraft(sku="Shoes", quantity=1)]), now=NOW)
    amend("o1", "DE")
    order_change_status(order_id="o1", status="paid", now=NOW + timedelta(seconds=1))
    order_cancel(order_id="o1", now=NOW + timedelta(seconds=2))
    events = reader.drain()
    assert [event.type.split(".")[3] for event in events] == ["placed", "amended", "status_changed", "cancelled"]
    told = [data_of(event) for event in events]
    assert [(data["version"], data["country"], data["status"]) for data in told] == [
        (1, "", "placed"), (2, "DE", "placed"), (3, "DE", "paid"), (4, "DE", "cancelled"),
    ]  # fmt: skip
    assert [event.time for event in events] == [data["updated_at"] for data in told]


@pytest.mark.django_db
def test_an_order_in_another_version_is_not_told() -> None:
    with pytest.raises(EventsMissingError), transaction.atomic(), connection.cursor() as cursor:
        tell(cursor, orders=[("nobody", 1)], type=PLACED, source="test")


def test_events_written_before_lanes_are_expanded(reader: Reader) -> None:
    load("o1")
    Order.objects.update(version=3, status="cancelled")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outbox_entry (lane, kind, type, key, version, partition_key, time, orders, payload, source)"
            " SELECT 0, 'order', 't', 'o1', v, '', '', 1, '', '' FROM generate_series(2, 3) v"
        )
    (event,) = reader.drain()
    assert (event.id, event.type, data_of(event)["status"]) == ("o1:3", "t", "cancelled")
    (made,) = expand([("o1", 3)])
    assert made.type == CANCELLED


def test_an_unsent_order_keeps_its_first_version_when_it_changes(reader: Reader) -> None:
    load("o1", "o2", "o3")
    amend("o1", "DE")
    amend("o1", "AT")
    order_cancel(order_id="o2", now=NOW)
    order_amend(order_id="o3", amendment=Amendment(lines=[LineDraft(line_no=1, quantity=9)]), now=NOW)
    events = reader.drain()
    assert {key: sorted(versions) for key, versions in by_key(events).items()} == {
        "o1": [1, 2, 3], "o2": [1, 2], "o3": [1, 2],
    }  # fmt: skip
    contents = {event.id: data_of(event) for event in events}
    assert [contents[f"o1:{version}"]["country"] for version in (1, 2, 3)] == ["CH", "DE", "AT"]
    assert [contents[f"o2:{version}"]["status"] for version in (1, 2)] == ["placed", "cancelled"]
    assert [contents[f"o3:{version}"]["lines"][0]["quantity"] for version in (1, 2)] == [1, 9]


def test_a_sent_order_keeps_nothing(reader: Reader) -> None:
    load("o1")
    reader.drain()
    amend("o1", "DE")
    assert [event.id for event in reader.drain()] == ["o1:2"]


def test_an_amendment_without_effect_keeps_nothing(reader: Reader) -> None:
    load("o1")
    amend("o1", "CH")
    order_change_status(order_id="o1", status="placed", now=NOW)
    assert Entry.objects.exclude(kind="bulk").count() == 0


def test_a_change_between_expansion_and_acknowledgement(reader: Reader) -> None:
    """It was read from the order already, but might be lost yet: it is told twice, with one id and one content."""
    load("o1")
    (lease,) = lanes_with_news(reader.leases)
    batch = open_batch(lease)
    assert batch is not None
    (run,) = read_runs(batch, limit=10)
    assert run.entry is not None
    sent = [event for _, event in expanded(load_entry(batch, run.entry))]
    amend("o1", "DE")
    close(lease, batch)
    assert Receipt.objects.get().published_at is not None
    later = reader.drain()
    assert [event.id for event in sent + later] == ["o1:1", "o1:1", "o1:2"]
    assert sent[0] == later[0]


@pytest.mark.parametrize("seed", range(3))
def test_every_version_arrives_with_its_own_content(seed: int, reader: Reader) -> None:
    """People change orders of a load while it is relayed, from several threads."""
    ids = [f"o{number}" for number in range(60)]
    load(*ids)
    failures: list[BaseException] = []

    def change(number: int) -> None:
        chance = random.Random(f"{seed}/{number}")
        try:
            for order_id in chance.sample(ids, 30):
                amend(order_id, f"C{chance.randrange(1000)}")
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=change, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    reader.page = 1
    while any(thread.is_alive() for thread in threads):
        reader.drain()
    for thread in threads:
        thread.join(60)
    reader.drain()
    assert not failures
    contents: dict[str, set[bytes]] = {}
    for event in reader.events:
        contents.setdefault(event.id, set()).add(event.data)
    assert all(len(found) == 1 for found in contents.values())
    versions = dict(Order.objects.values_list("id", "version"))
    assert set(contents) == {f"{key}:{version}" for key, last in versions.items() for version in range(1, last + 1)}
    last = {key: data_of(event) for event in reader.events for key in [event.key] if event.version == versions[key]}
    assert {key: data["country"] for key, data in last.items()} == dict(Order.objects.values_list("id", "country"))
