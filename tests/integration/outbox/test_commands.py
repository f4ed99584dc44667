"""kafka_topics and outbox_poison, the admin of the outbox, and its metrics."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from config.kernel.kafka.admin import administration, topic_grow
from orders.outbox.events import Event
from orders.outbox.halting import Refusal, halt, halted_keys, hold, key_release, released_keys, send_held
from orders.outbox.metrics import read_families
from orders.outbox.models import Decision, HaltedKey, HeldEvent, Partitioning
from orders.outbox.partitioning import ALWAYS, generation_begin, generations, partitioner
from tests.apache_kafka import ApacheKafka, EmbeddedKafka


def event(key: str, version: int, *, placed_at: datetime | None = None) -> Event:
    return Event(
        "orders", f"{key}:{version}", "com.sluice.order.amended.v1", key, version, f"user of {key}",
        placed_at or timezone.now(), "2026-11-27T09:00:00.5Z", b'{"version":%d}' % version,
    )  # fmt: skip


@pytest.fixture
def topics(kafka_prefix: str, settings: Settings, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs kafka_topics: status and output."""
    settings.KAFKA_TOPIC_PREFIX, settings.KAFKA_REPLICATION_FACTOR = kafka_prefix, 1

    def run(broker: Any, *arguments: str) -> tuple[int, str]:
        settings.KAFKA_BOOTSTRAP_SERVERS = [broker.bootstrap]
        with pytest.raises(SystemExit) as ended:
            call_command("kafka_topics", *arguments)
        return int(ended.value.code or 0), capsys.readouterr().out

    return run


@pytest.mark.django_db
def test_topics_are_made_with_six_partitions(topics: Callable[..., Any], embedded_kafka: EmbeddedKafka) -> None:
    status, said = topics(embedded_kafka)
    assert (status, said.count("missing. Make it with --create.")) == (1, 3)
    status, said = topics(embedded_kafka, "--create")
    assert (status, said.count("was made with 6 partitions")) == (0, 3)
    assert generations() == {"orders": [(ALWAYS, 6)], "imports": [(ALWAYS, 6)]}
    status, said = topics(embedded_kafka, "--create")
    assert (status, "was made" in said, said.count("6 partitions, 1 replicas")) == (0, False, 3)


@pytest.mark.django_db
def test_topics_grow_without_tearing_orders_apart(topics: Callable[..., Any], apache_kafka: ApacheKafka) -> None:
    before = timezone.now()
    assert topics(apache_kafka, "--create")[0] == 0
    old = partitioner(generations())
    assert topics(apache_kafka, "--partitions", "16")[0] == 0
    (_, first), (since, second) = generations()["orders"]
    assert (first, second) == (6, 16)
    assert since > timezone.now(), "relays need time to hear of it"
    new = partitioner(generations())
    keys = [f"o{number}" for number in range(200)]
    assert all(new(event(key, 1, placed_at=before)) == old(event(key, 2)) < 6 for key in keys)
    assert {new(event(key, 1, placed_at=since)) for key in keys} == set(range(16))
    assert topics(apache_kafka, "--partitions", "16") == topics(apache_kafka), "asked for again, nothing happens"
    with pytest.raises(CommandError, match="never gets fewer"):
        call_command("kafka_topics", "--partitions", "12")


@pytest.mark.django_db
def test_partitions_that_somebody_else_added_are_not_used(
    topics: Callable[..., Any], apache_kafka: ApacheKafka
) -> None:
    topics(apache_kafka, "--create")
    from config.kernel.kafka.topics import topic_name

    with administration() as client:
        topic_grow(client, topic_name("orders"), partitions=9)
    assert len(generations()["orders"]) == 1


@pytest.mark.django_db
def test_a_topic_with_fewer_partitions_than_were_used_is_said(
    topics: Callable[..., Any], embedded_kafka: EmbeddedKafka
) -> None:
    topics(embedded_kafka, "--create")
    Partitioning.objects.create(topic="orders", partitions=12, since=datetime(2026, 1, 1, tzinfo=UTC))
    status, said = topics(embedded_kafka)
    assert status == 1
    assert "fewer partitions than events were spread over" in said


@pytest.mark.django_db
def test_a_generation_is_written_once() -> None:
    assert generation_begin(topic="orders", partitions=6) == ALWAYS
    assert generation_begin(topic="orders", partitions=9) > timezone.now()
    assert [partitions for _, partitions in generations()["orders"]] == [6, 9]


@pytest.fixture
def halted(db: None) -> None:
    """Order o1 was refused in version 1; 2 and 3 wait behind it."""
    halt(event("o1", 1), reason="too large")
    assert all(hold(event("o1", version)) for version in (2, 3, 3))


def ids() -> list[str]:
    return list(HeldEvent.objects.order_by("pk").values_list("event_id", flat=True))


@pytest.mark.usefixtures("halted")
class TestHalted:
    """A key that is halted, released, and sent."""

    def test_holding_is_for_halted_keys_only(self) -> None:
        assert halted_keys() == {("orders", "o1")}
        assert not hold(event("o2", 1))
        assert ids() == ["o1:1", "o1:2", "o1:3"]

    def test_nothing_is_sent_before_somebody_decides(self) -> None:
        assert released_keys() == []
        send_held(("orders", "o1"), lambda events: pytest.fail("sent"))

    def test_released_events_are_sent_whole_and_in_order(self) -> None:
        key_release(topic="orders", key="o1", reason="mended", by="alice")
        assert released_keys() == [("orders", "o1")]
        sent: list[Event] = []
        send_held(("orders", "o1"), lambda events: sent.extend(events))
        assert [each.data for each in sent] == [b'{"version":1}', b'{"version":2}', b'{"version":3}']
        assert sent[0].time == "2026-11-27T09:00:00.500000Z"
        assert sent[0].partition_key == "user of o1"
        assert (ids(), halted_keys()) == ([], set())

    def test_refused_again_it_waits_for_another_decision(self) -> None:
        key_release(topic="orders", key="o1", reason="mended", by="alice")
        send_held(("orders", "o1"), lambda events: Refusal(events[1], "still too large"))
        assert ids() == ["o1:2", "o1:3"]
        assert released_keys() == []
        row = HaltedKey.objects.get()
        assert (row.event_id, row.reason, row.attempts) == ("o1:2", "still too large", 2)

    def test_a_decision_needs_a_reason(self) -> None:
        for way in ("release", "drop"):
            with pytest.raises(CommandError, match="Say why"):
                call_command("outbox_poison", way, "o1", "--reason", " ")
        assert not Decision.objects.exists()

    def test_the_admin_decides_with_a_reason(self, client: Client) -> None:
        client.force_login(
            User.objects.create_superuser("root", email="root@example.com", password="a long enough one")
        )
        page = "/admin/outbox/haltedkey/"
        data = {"action": "drop", "_selected_action": [str(HaltedKey.objects.get().pk)], "reason": ""}
        assert "Say why" in client.post(page, data, follow=True).content.decode()
        assert ids()[0] == "o1:1"
        client.post(page, data | {"reason": "nobody reads it"}, follow=True)
        assert ids() == ["o1:2", "o1:3"]
        assert released_keys() == [("orders", "o1")]
        assert set(Decision.objects.values_list("decision", "by", "reason")) == {
            ("dropped", "root", "nobody reads it"), ("released", "root", "nobody reads it"),
        }  # fmt: skip

    def test_metrics_tell_of_it(self) -> None:
        values = {family.name: family.samples for family in read_families()}
        assert values["sluice_outbox_halted_keys"][0].value == 1
        assert values["sluice_outbox_held_events"][0].value == 3
        assert len(values["sluice_outbox_lag_seconds"]) == 12


@pytest.mark.django_db
def test_every_page_of_the_outbox_can_be_looked_at(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root", email="root@example.com", password="a long enough one"))
    for page in ("lane", "entry", "haltedkey", "heldevent", "decision"):
        assert client.get(f"/admin/outbox/{page}/").status_code == 200, page
    assert "0.0 s" in client.get("/admin/outbox/lane/").content.decode()
