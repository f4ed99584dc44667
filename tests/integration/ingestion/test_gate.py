"""Users are deleted while orders of theirs are loaded; no order may be left without its user."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest

from ingestion.clock import utc_now
from ingestion.queue import chunk_claim
from ingestion.services import job_of
from ingestion.stages.certify import import_certify
from tests.integration.ingestion.driving import Driver, csv_bytes, rows

Connect = Callable[[], Any]
ORPHANS = """SELECT count(*) FROM orders_order o
             WHERE user_id IS NOT NULL AND NOT EXISTS (SELECT FROM accounts_user u WHERE u.id = o.user_id)"""


def delete_users(connect: Connect, ended: threading.Event, deleted: list[int], seed: int) -> None:
    """Delete users at random until told to stop; users with orders are refused by the foreign key."""
    chance, server = random.Random(seed), connect()
    with server.cursor() as cursor:
        while not ended.is_set():
            try:
                cursor.execute("DELETE FROM accounts_user WHERE id = ANY(%s)", [[f"u{chance.randrange(60)}"]])
                deleted.append(cursor.rowcount)
            except psycopg2.IntegrityError:
                pass
            ended.wait(0.002)


@pytest.mark.parametrize("existing", [False, True], ids=["new orders", "orders that exist"])
def test_deleting_users_while_loading_leaves_no_orphan(driver: Driver, connect: Connect, existing: bool) -> None:
    records = [(f"o{number}", f"u{number % 60}", "i", 1) for number in range(600)]
    if existing:
        driver.load(csv_bytes([(f"o{number}", f"u{number % 60}", "i", 1) for number in range(0, 600, 30)]))
    owner = driver.prepare([csv_bytes(records)], target_bytes=300)
    ended, deleted = threading.Event(), [0]
    threads = [threading.Thread(target=delete_users, args=(connect, ended, deleted, seed)) for seed in range(3)]
    for thread in threads:
        thread.start()
    worker, resolved = driver.worker(owner), []
    try:
        while (claim := chunk_claim(job=job_of(owner), worker="test")) is not None:
            work = worker.reader.read(claim)
            resolved.append((work, worker.resolver.resolve(work)))
        for work, resolution in resolved:
            assert not isinstance(resolution, str)
            worker.merger.merge(work, resolution)
            time.sleep(0.01)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    certificate = import_certify(import_id=owner.pk, now=utc_now(), active_seconds=1)
    assert certificate["balanced"], certificate["problems"]
    assert certificate["loaded"] == 600 - (20 if existing else 0)
    assert rows(ORPHANS) == [(0,)]
    assert sum(deleted) > 0, "the test deleted nobody"


@pytest.mark.parametrize("collide", [False, True])
def test_users_deleted_between_resolve_and_merge_are_made_again(
    driver: Driver, connect: Connect, collide: bool
) -> None:
    """Also when the merge then meets an order that exists, rolls back and begins anew."""
    if collide:
        driver.load(csv_bytes([("o1", "u1", "i", 1)]))
    owner = driver.prepare(
        [csv_bytes([("o1", "u1", "i", 1), ("o2", "u2", "i", 1), ("o3", "u3", "i", 1)])], target_bytes=1 << 20
    )
    worker, claim = driver.worker(owner), chunk_claim(job=job_of(owner), worker="test")
    assert claim is not None
    work = worker.reader.read(claim)
    resolution = worker.resolver.resolve(work)
    assert not isinstance(resolution, str)
    with connect().cursor() as cursor:
        cursor.execute("DELETE FROM accounts_user WHERE id IN ('u2', 'u3')")
    worker.merger.merge(work, resolution)
    assert rows(ORPHANS) == [(0,)]
    assert rows("SELECT id FROM accounts_user ORDER BY id") == [("u1",), ("u2",), ("u3",)]
    certificate = import_certify(import_id=owner.pk, now=utc_now(), active_seconds=1)
    assert certificate["users_inserted"] == (4 if collide else 5)


def test_user_with_loaded_orders_cannot_be_deleted(driver: Driver, connect: Connect) -> None:
    driver.load(csv_bytes([("o1", "u1", "i", 1)]))
    with pytest.raises(psycopg2.IntegrityError), connect().cursor() as cursor:
        cursor.execute("DELETE FROM accounts_user")
