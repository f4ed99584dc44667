"""What imports tell: every version of every order with its own content, and how the import ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from django.db import connection

from ingestion.announcing import COMPLETED, FAILED
from ingestion.clock import utc_now
from ingestion.models import Import
from ingestion.services import import_cancel, import_fail
from ingestion.worker.merging import ChunkMerger
from orders.outbox.events import Event
from orders.outbox.models import Entry, Receipt
from tests.integration.ingestion.driving import Driver, Schedule, csv_bytes, profile_with, rows
from tests.integration.ingestion.test_determinism import messy_file
from tests.integration.outbox.reading import Reader

EVENTS = Path(__file__).parents[3] / "docs" / "events"
# What every version of an order said, noted by the database itself.
HISTORY = """
CREATE TABLE history AS SELECT id, version, status, country FROM orders_order;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO history SELECT NEW.id, NEW.version, NEW.status, NEW.country;
    RETURN NULL;
END
$$;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON orders_order FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE orders_order ENABLE ALWAYS TRIGGER note;
"""


@pytest.fixture
def history(driver: Driver) -> None:
    with connection.cursor() as cursor:
        cursor.execute(HISTORY)


def data_of(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event.data)
    return found


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EVENTS / name).read_text())
    return found


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
@pytest.mark.parametrize("drained_between", [False, True])
def test_every_version_of_orders_that_span_chunks_and_are_loaded_again(
    driver: Driver, history: None, seed: int, drained_between: bool
) -> None:
    reader = Reader().claim()
    update = profile_with(on_conflict="update", replace_lines=True)
    driver.load(messy_file(seed), schedule=Schedule(seed=seed, workers=2))
    if drained_between:
        reader.drain()
    driver.load(messy_file(seed + 50), schedule=Schedule(seed=seed, workers=2), profile=update)
    reader.drain()
    told = {(event.key, event.version): data_of(event) for event in reader.events if event.topic == "orders"}
    for data in told.values():
        jsonschema.validate(data, schema("order.v1.schema.json"))
    noted = rows("SELECT id, version, status, country FROM history ORDER BY 1, 2")
    assert sorted((*key, data["status"], data["country"]) for key, data in told.items()) == noted
    assert max(version for _, version in told) > 2
    lines = {
        key: [line["line_no"] for line in told[key, version]["lines"]]
        for key, version in rows("SELECT id, version FROM orders_order")
    }
    assert sorted((key, number) for key, numbers in lines.items() for number in numbers) == rows(
        "SELECT order_id, line_no FROM orders_orderline ORDER BY 1, 2"
    )
    assert not Receipt.objects.filter(published_at=None).exists()


@pytest.mark.parametrize("drained_between", [False, True])
def test_all_versions_keep_the_key_of_the_first_whichever_chunk_is_merged_first(
    driver: Driver, drained_between: bool
) -> None:
    """The lowest record decides whose order it is, and may be merged last: also of an order that began as a guest's."""
    reader = Reader().claim()
    users = [user for number in range(6) for user in (f"u{number % 3}", f"u{2 - number % 3}", "")]
    content = csv_bytes([(f"o{number % 5}", user, f"i{number}", 1) for number, user in enumerate(users * 3)])
    merge = ChunkMerger.merge

    def merge_and_send(self: ChunkMerger, *given: Any) -> None:
        merge(self, *given)
        if drained_between:
            reader.drain()

    driver.monkeypatch.setattr(ChunkMerger, "merge", merge_and_send)
    driver.load(content, schedule=Schedule(seed=2, workers=3))
    reader.drain()
    keys: dict[str, set[str]] = {}
    users_told: dict[str, set[str | None]] = {}
    for event in reader.events:
        if event.topic == "orders":
            keys.setdefault(event.key, set()).add(event.partition_key)
            users_told.setdefault(event.key, set()).add(data_of(event)["user_id"])
    assert any(len(found) > 1 for found in users_told.values())
    assert [sorted(found) for found in keys.values() if len(found) > 1] == []
    kept = rows("SELECT id, partition_key FROM orders_order WHERE partition_key IS NOT NULL")
    assert {order_id: {key} for order_id, key in kept}.items() <= keys.items()
    assert kept


def test_versions_of_one_lane_come_in_order(driver: Driver) -> None:
    """Nothing was sent before: all versions of an order that changed are entries of their own, in order."""
    driver.load(messy_file(3), schedule=Schedule(seed=1, workers=2))
    kept = Entry.objects.filter(kind="order").order_by("id").values_list("key", "version")
    versions: dict[str, list[int]] = {}
    for key, version in kept:
        versions.setdefault(key, []).append(version or 0)
    assert versions
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())


def test_an_import_tells_how_it_ended(driver: Driver) -> None:
    certificate = driver.load(csv_bytes([("o1", "u1", "i1", 1), ("o2", "u1", "i1", "many")]))
    assert certificate["state"] == "completed_with_rejects"
    (event,) = [event for event in Reader().claim().drain() if event.topic == "imports"]
    owner = Import.objects.get()
    assert event.id == f"import:{owner.pk}:completed_with_rejects"
    assert (event.type, event.key, event.version, event.partition_key) == (COMPLETED, str(owner.pk), 1, str(owner.pk))
    data = data_of(event)
    jsonschema.validate(data, schema("import.v1.schema.json"))
    assert (data["import_id"], data["state"], data["file"], data["records"]) == (owner.pk, owner.state, "1.csv", 2)
    assert (data["counts"]["loaded"], data["counts"]["rejected"]) == (1, 1)
    assert data["errors"] == {"invalid_integer": 1}
    assert event.time == data["ended_at"]


def test_an_import_that_fails_tells_it_once(driver: Driver) -> None:
    owner = driver.prepare([csv_bytes([("o1", "u1", "i1", 1)])])
    for reason in ("A test.", "Another."):
        import_fail(import_id=owner.pk, now=utc_now(), reason=reason)
    (event,) = Reader().claim().drain()
    assert (event.id, event.type) == (f"import:{owner.pk}:failed", FAILED)
    data = data_of(event)
    jsonschema.validate(data, schema("import.v1.schema.json"))
    assert (data["reason"], data["counts"]["unprocessed"]) == ("A test.", 1)


def test_a_cancelled_import_and_a_dry_run_tell_nothing(driver: Driver) -> None:
    cancelled = driver.prepare([csv_bytes([("o1", "u1", "i1", 1)])])
    import_cancel(import_id=cancelled.pk, now=utc_now())
    tried = driver.prepare([csv_bytes([("o2", "u1", "i1", 1)])])
    Import.objects.filter(pk=tried.pk).update(dry_run=True)
    import_fail(import_id=tried.pk, now=utc_now(), reason="A test.")
    assert not Entry.objects.exists()
