"""Wake-ups: sent after commit, never in the way of anybody, whatever Redis does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta

import dramatiq
import pytest
from django.conf import settings
from django.db import transaction

from config.broker import WakeUpBroker
from ingestion import dispatch
from ingestion.clock import utc_now
from ingestion.models import Import
from ingestion.services import import_pause
from ingestion.steps import run_steps
from ingestion.steps.claims import PREPARE
from ingestion.sweeping import sweep
from ingestion.uploads.pruning import uploads_expire
from tests.integration.tasks.conftest import Desk, csv_text, settled_profile, work_off
from tests.redis_server import OwnRedis


@pytest.fixture
def redis_of_tasks(own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnRedis]:
    """Wake-ups of this process go to a Redis of the test's own."""
    monkeypatch.setattr(settings, "TASKS_REDIS_URL", own_redis.url)
    monkeypatch.setattr(dispatch, "_silent_until", 0.0)
    usual = dramatiq.get_broker()
    broker = WakeUpBroker(timeout_seconds=0.1, middleware=[])
    dramatiq.set_broker(broker)
    yield own_redis
    dramatiq.set_broker(usual)
    broker.client.close()


def messages(server: OwnRedis, queue: str) -> list[dict[str, object]]:
    """What was sent to a queue and not fetched."""
    client = server.client()
    found = client.hgetall(f"{settings.TASKS_NAMESPACE}:{queue}.msgs")
    client.close()
    return [json.loads(message) for message in found.values()]


def test_wake_up_is_sent_after_the_commit(redis_of_tasks: OwnRedis, desk: Desk) -> None:
    upload = desk.upload(csv_text(range(3)))
    with transaction.atomic():
        owner = desk.start(upload)
        assert messages(redis_of_tasks, "steps") == []
    (message,) = messages(redis_of_tasks, "steps")
    assert (message["actor_name"], message["kwargs"]) == ("steps_do", {"import_id": owner.pk})
    assert [message["actor_name"] for message in messages(redis_of_tasks, "small")] == ["chunks_do_small"]


def test_workers_are_not_woken_while_a_message_waits(redis_of_tasks: OwnRedis, database: str) -> None:
    for _ in range(5):
        dispatch.wake_workers("large")
    assert len(messages(redis_of_tasks, "large")) == 1
    dispatch.wake_workers("")  # an import of the command
    assert messages(redis_of_tasks, "small") == []


def test_frozen_redis_costs_a_fifth_of_a_second_once(redis_of_tasks: OwnRedis, database: str) -> None:
    dispatch.wake(1)
    redis_of_tasks.freeze()
    took = [_seconds_to_wake() for _ in range(20)]
    assert max(took) < 0.25
    assert sum(took) < 0.4, "it is not asked again at once"
    redis_of_tasks.thaw()


def test_dead_redis_costs_nothing(redis_of_tasks: OwnRedis, database: str) -> None:
    redis_of_tasks.kill()
    assert _seconds_to_wake() < 0.25


def _seconds_to_wake() -> float:
    started = time.monotonic()
    dispatch.wake(1)
    return time.monotonic() - started


def test_sweeper_wakes_what_was_lost(redis_of_tasks: OwnRedis, desk: Desk) -> None:
    owner = desk.start(desk.upload(csv_text(range(3))))
    redis_of_tasks.client().flushall()
    assert sweep() == [owner.pk]
    assert messages(redis_of_tasks, "steps")
    work_off()
    redis_of_tasks.client().flushall()
    assert sweep() == []
    assert messages(redis_of_tasks, "steps") == []


def test_sweeper_ends_what_waits_for_bytes_that_never_come(desk: Desk) -> None:
    upload = desk.upload(b"order_id", complete=False, length=100)
    owner = desk.start(upload)
    upload.state = "expired"
    upload.save(update_fields=["state"])
    assert sweep() == [owner.pk]
    owner = Import.objects.get(pk=owner.pk)
    assert owner.state == "failed"
    assert "expired" in owner.reason


@pytest.mark.parametrize("state", ["open", "uploading", "paused", "running"])
def test_imports_of_an_abandoned_upload_end_with_the_reason(desk: Desk, state: str) -> None:
    """Whatever they were doing when it was given up; nobody is left to tell them."""
    data = csv_text(range(80_000))
    upload = desk.upload(data, complete=False, length=2 * len(data))
    owner = desk.start(upload, profile=settled_profile(), while_uploading=True, start=state != "open")
    if state in {"running", "paused"}:
        assert run_steps(steps=[PREPARE]) == 1
    if state == "paused":
        import_pause(import_id=owner.pk)
    assert Import.objects.get(pk=owner.pk).state == state
    assert uploads_expire(now=utc_now() + timedelta(hours=25)) == 1
    sweep()
    work_off()
    owner.refresh_from_db()
    assert (owner.state, "expired" in owner.reason) == ("failed", True)
    assert owner.certificate is not None
