"""From a record of a file to its order and its events."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from ingestion.clock import utc_now
from ingestion.models import Chunk, Import
from ingestion.stages import plan as plan_module
from ingestion.uploads.services import upload_terminate
from orders.models import Order
from orders.outbox.models import Receipt
from orders.services import order_cancel, order_change_status
from reports.models import HistoryEntry
from reports.tracing.trace import queries
from tests.integration.imports_api.scenes import People, asked, csv, load, loaded, uploaded
from tests.integration.ingestion.driving import Driver

FILE = csv(
    "o1,u1,lamp,1,9.50",
    "o1,u1,bank,2,249.00",
    "o2,u2,lamp,none,1.00",
    "",
    "o3,u1,lamp,3,",
    "o4,,lamp,1,free",
)


@pytest.fixture
def people(database: str, settings: Settings, tmp_path: Path) -> People:
    """On a database with real commits, and with a place for their uploads."""
    del database
    uploads = {
        "BACKEND": "ingestion.uploads.storage.FileSystemSegmentStorage",
        "OPTIONS": {"location": str(tmp_path / "media/uploads")},
    }
    settings.STORAGES = {**settings.STORAGES, "uploads": uploads}
    return People()


@pytest.fixture
def alice(people: People) -> Any:
    return people["alice"]


@pytest.fixture
def trace(alice: Any) -> Callable[..., dict[str, Any]]:
    """What Alice is told of a record."""

    def ask(import_id: int, record: int, *, status: int = 200) -> dict[str, Any]:
        answer = alice.get(f"/imports/{import_id}/records/{record}")
        assert answer.status_code == status, answer.content
        told: dict[str, Any] = answer.json()
        return told

    return ask


def read_from_kafka(order_id: str, version: int, kind: str = "placed", offset: int = 7) -> None:
    """As the consumer notes it."""
    HistoryEntry.objects.create(
        event_id=f"{order_id}:{version}", order_id=order_id, version=version, type=f"com.sluice.order.{kind}.v1",
        topic="sluice.orders.v1", partition=3, offset=offset, consumed_at=utc_now(),
    )  # fmt: skip


def forget_bytes(import_id: int) -> None:
    upload_id = Import.objects.get(pk=import_id).upload_id
    assert upload_id is not None
    upload_terminate(upload_id=upload_id)


def test_from_the_file_to_kafka(alice: Any, trace: Callable[..., dict[str, Any]]) -> None:
    import_id = loaded(alice, FILE)
    order_change_status(order_id="o1", status="paid", now=utc_now())
    read_from_kafka("o1", 1)
    read_from_kafka("o1", 2, "status_changed", offset=9)
    told = trace(import_id, 2)
    assert told["source"] == "orders.csv"
    assert told["raw"] == "o1,u1,bank,2,249.00\n"
    assert told["raw_complete"] is True
    assert told["line"] == 3
    assert FILE[told["byte_offset"] :][: told["byte_length"]] == told["raw"].encode()
    assert told["outcome"] == "loaded"
    assert told["order"] == {"id": "o1", "version": 2, "status": "paid", "import": import_id, "first_record": 1}
    assert told["order_line"] == {"line_no": 2, "sku": "bank", "quantity": 2, "unit_price": "249.0000"}
    assert [(event["id"], event["partition"], event["offset"]) for event in told["events"]] == [
        ("o1:1", 3, 7),
        ("o1:2", 3, 9),
    ]


def test_a_record_that_was_rejected(alice: Any, trace: Callable[..., dict[str, Any]]) -> None:
    import_id = loaded(alice, FILE)
    told = trace(import_id, 3)
    assert told["outcome"] == "rejected"
    assert [(each["code"], each["column_name"], each["value"]) for each in told["rejects"]] == [
        ("invalid_integer", "quantity", "none")
    ]
    assert told["order"] is None
    assert (told["line"], told["raw"]) == (4, "o2,u2,lamp,none,1.00\n")
    several = trace(import_id, 6)
    assert {each["code"] for each in several["rejects"]} >= {"required", "invalid_decimal"}


def test_a_record_that_was_ignored(alice: Any, trace: Callable[..., dict[str, Any]]) -> None:
    told = trace(loaded(alice, FILE), 4)
    assert (told["outcome"], told["order"], told["raw"]) == ("ignored", None, "\n")


def test_records_that_changed_nothing(alice: Any, trace: Callable[..., dict[str, Any]]) -> None:
    loaded(alice, csv("o1,u1,lamp,1,9.50"))
    mapped = csv("o1,1,u1,lamp,1,9.50", header="order_id,line_no,user_id,sku,quantity,unit_price")
    skipped = trace(loaded(alice, mapped), 1)
    assert (skipped["outcome"], skipped["order"]["id"]) == ("skipped", "o1")
    unchanged = trace(loaded(alice, mapped, on_conflict="update"), 1)
    assert (unchanged["outcome"], unchanged["order"]["version"]) == ("unchanged", 1)
    assert unchanged["published"] is None
    assert unchanged["order"]["import"] != unchanged["import"]


def test_when_the_file_is_gone(
    alice: Any, trace: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "CHUNK_BYTES", 200)
    monkeypatch.setattr(plan_module, "SMALLEST_CHUNK_BYTES", 200)
    rows = [f"p{n // 3},u1,lamp,1,9.50" for n in range(100)]
    rows[50] = "p16,u1,lamp,none,9.50"
    import_id = loaded(alice, csv(*rows))
    assert Chunk.objects.filter(owner=import_id).count() > 5
    forget_bytes(import_id)
    for record in (1, 37, 100):
        told = trace(import_id, record)
        assert (told["outcome"], told["order"]["id"]) == ("loaded", f"p{(record - 1) // 3}")
        assert told["order_line"]["line_no"] == record
        assert (told["raw"], told["line"], told["byte_offset"]) == (None, None, None)
    rejected = trace(import_id, 51)
    assert (rejected["outcome"], rejected["raw"]) == ("rejected", "p16,u1,lamp,none,9.50\n")


def test_whether_it_is_published(alice: Any, trace: Callable[..., dict[str, Any]]) -> None:
    import_id = loaded(alice, FILE)
    assert (trace(import_id, 1)["published"], trace(import_id, 1)["published_at"]) == (False, None)
    Receipt.objects.update(published_at=utc_now())
    told = trace(import_id, 1)
    assert told["published"] is True
    assert told["published_at"] is not None
    assert told["events"] == []
    Receipt.objects.all().delete()
    assert (trace(import_id, 1)["published"], trace(import_id, 1)["published_at"]) == (True, None)


def test_what_is_not_there(alice: Any, trace: Callable[..., dict[str, Any]]) -> None:
    import_id = loaded(alice, FILE)
    for record in (0, 7, 1 << 62):
        assert trace(import_id, record, status=404)["code"] == "record_not_found"
    assert trace(import_id + 1, 1, status=404)["code"] == "import_not_found"
    waiting = asked(alice, uploaded(csv("o9,u1,lamp,1,1.00")))["id"]
    assert "not read that far" in trace(waiting, 1, status=404)["detail"]
    assert load(waiting)["loaded"] == 1


def test_others_see_what_they_see_of_the_import(alice: Any, people: People) -> None:
    url = f"/imports/{loaded(alice, FILE)}/records/1"
    told = {name: people[name].get(url).status_code for name in ("bob", "charlie", "dora", "eve")}
    assert told == {"bob": 404, "charlie": 404, "dora": 200, "eve": 200}


def test_a_cancelled_order_is_still_found(alice: Any, trace: Callable[..., dict[str, Any]]) -> None:
    import_id = loaded(alice, FILE)
    order_cancel(order_id="o3", now=utc_now())
    assert trace(import_id, 5)["order"]["status"] == "cancelled"


def test_the_command_says_the_same(alice: Any, capsys: pytest.CaptureFixture[str]) -> None:
    import_id = loaded(alice, FILE)
    read_from_kafka("o1", 1)
    with pytest.raises(SystemExit) as ended:
        call_command("trace_record", str(import_id), "1")
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for text in ("o1,u1,lamp,1,9.50", "outcome  loaded", "order    o1, version 1", "placed: sluice.orders.v1 3/7"):
        assert text in said
    with pytest.raises(SystemExit):
        call_command("trace_record", str(import_id), "3", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(alice.get(f"/imports/{import_id}/records/3").content)
    with pytest.raises(SystemExit) as ended:
        call_command("trace_record", str(import_id), "99")
    assert ended.value.code == 2
    assert "the first one is number 1" in capsys.readouterr().err


def test_a_file_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, people: People) -> None:
    """Of the command; when another file lies there now, its text is not shown."""
    driver = Driver(directory=tmp_path, monkeypatch=monkeypatch)
    import_id = driver.load(FILE)["import_id"]
    url = f"/imports/{import_id}/records/1"
    assert people["dora"].get(url).json()["raw"] == "o1,u1,lamp,1,9.50\n"
    driver.paths[0].write_bytes(FILE.replace(b"o1,u1,lamp,1", b"o7,u1,lamp,1"))
    told = people["dora"].get(url).json()
    assert (told["raw"], told["order"]["id"], told["outcome"]) == (None, "o1", "loaded")


def test_nothing_is_scanned(alice: Any) -> None:
    """By key or by block range, whatever the tables' size."""
    import_id = loaded(alice, FILE)
    chunk = Chunk.objects.get(owner=import_id)
    values = {"import_id": import_id, "chunk": 0, "record": 2, "line_base": 0, "merged_at": chunk.merged_at}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {queries.order_of_record}", values)
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "orders_order_created" in plan or "orders_order_import" in plan
    assert "orders_orderline_pkey" in plan
    assert Order.objects.filter(pk="o1").exists()


def test_the_admin_follows_a_record(alice: Any, people: People, client: Client) -> None:
    import_id = loaded(alice, FILE)
    client.force_login(User.objects.create_superuser("boss", email="boss@example.com"))
    page = client.get(f"/admin/ingestion/import/{import_id}/change/").content.decode()
    url = "/admin/reports/historyentry/record/"
    assert f'action="{url}"' in page
    shown = client.get(url, {"import": str(import_id), "record": "2"}).content.decode()
    assert "o1,u1,bank,2,249.00" in shown
    assert 'href="/admin/orders/order/o1/change/"' in shown
    order = client.get("/admin/orders/order/o1/change/").content.decode()
    assert f"{url}?import={import_id}&amp;record=1" in order
    assert "the first one is number 1" in client.get(url, {"import": import_id, "record": 99}).content.decode()
    assert client.get(url, {"import": "x", "record": "1"}).status_code == 404
    assert people["alice"] is alice
    client.force_login(_staff("carol"))
    assert "There is no import" in client.get(url, {"import": import_id, "record": 1}).content.decode()


def _staff(name: str) -> User:
    """May enter the admin, and nothing else."""
    user = User.objects.create_user(name, email=f"{name}@example.com", name=name)
    user.is_staff = True
    user.save()
    return user
