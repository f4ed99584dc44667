"""
The consumer of orders under faults: afterwards the reports show what the orders add up to, every time.

"In the middle of a batch" is arranged, not hoped for: the test holds a lock that the batch's transaction needs last.
"""

import contextlib
import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg2
import pytest
from psycopg2 import sql

from config.embedded.place import place_open
from tests.apache_kafka import ApacheKafka, EmbeddedKafka
from tests.conftest import Manage
from tests.order_topic import OrderTopic, consumed, is_projected, made_up_orders, wait_for
from tests.preloaded import Forked
from tests.serving import start_logged

ENDING_SECONDS: Final = 20
TAKEN: Final = re.compile(r"partitions_revoked.*\[\d")


class Consumers:
    """Consumers of one topic on one database; `log` is what all of them have said."""

    def __init__(self, manage: Manage, topic: OrderTopic, connect: Callable[[], Any]) -> None:
        self.manage, self.topic, self.connect = manage, topic, connect
        self.log = manage.directory / "consumers.log"
        self.cursor = connect().cursor()
        self._started: list[Forked] = []

    def start(self, *, batch: int = 200, **env: str) -> Forked:
        """Start one that runs until it is told to end."""
        environment = {**self.manage.environment, **self.topic.environment, **env}
        arguments = [
            "manage.py",
            "consume_orders",
            "--group",
            self.topic.group,
            "--batch",
            str(batch),
            "--session",
            "6",
        ]
        self._started.append(start_logged(arguments, environment, self.log))
        return self._started[-1]

    def end(self, process: Forked) -> None:
        """SIGTERM; it has to end in time."""
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDING_SECONDS + 10) == 0, self.said()

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def wait_until_done(self, events: int) -> None:
        """Every event is in the history, and the sums are right."""
        wait_for(lambda: consumed(self.cursor) >= events, f"reading {events} events\n{self.said()[-3000:]}")
        wait_for(lambda: is_projected(self.cursor), "the right sums", seconds=10)
        assert consumed(self.cursor) == events, "an event is in the history twice"

    def kill_all(self) -> None:
        for process in self._started:
            process.send_signal(signal.SIGKILL)
            process.wait(10)


@pytest.fixture
def consumers(
    apache_kafka: ApacheKafka, kafka_prefix: str, manage: Manage, connect: Callable[[], Any]
) -> Iterator[Consumers]:
    found = Consumers(manage, OrderTopic(apache_kafka.bootstrap, kafka_prefix), connect)
    yield found
    found.kill_all()


@contextlib.contextmanager
def batch_held(connect: Callable[[], Any]) -> Iterator[Callable[[], bool]]:
    """Keep every batch from ending while this lasts; yields whether one waits for that."""
    holder, watcher = connect(), connect().cursor()
    holder.autocommit = False
    holder.cursor().execute("LOCK TABLE reports_consumer IN SHARE ROW EXCLUSIVE MODE")

    def waits() -> bool:
        watcher.execute(
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE NOT l.granted AND d.datname = current_database()"
        )
        return bool(watcher.fetchone()[0])

    try:
        yield waits
    finally:
        holder.rollback()


@contextlib.contextmanager
def batches_failing(cursor: Any) -> Iterator[None]:
    """Let every batch that is written fail at its end, and be tried again."""
    cursor.execute("ALTER TABLE reports_day RENAME TO reports_day_away")
    try:
        yield
    finally:
        cursor.execute("ALTER TABLE reports_day_away RENAME TO reports_day")


@pytest.mark.slow
def test_killed_at_any_moment(consumers: Consumers) -> None:
    events = made_up_orders(consumers.cursor, orders=1_200)
    consumers.topic.send(events)
    chance = random.Random(3)
    for share in (0.2, 0.5):
        process = consumers.start(batch=50)
        wait_until_consumed(consumers, len(events) * share)
        signal_ = signal.SIGKILL if chance.random() < 0.8 else signal.SIGTERM
        process.send_signal(signal_)
        process.wait(ENDING_SECONDS)
    consumers.start(batch=50)
    consumers.wait_until_done(len(events))


def wait_until_consumed(consumers: Consumers, events: float) -> None:
    wait_for(lambda: consumed(consumers.cursor) > events, "progress")


def test_killed_inside_the_transaction_and_between_it_and_the_offsets(
    consumers: Consumers, apache_kafka: ApacheKafka
) -> None:
    events = made_up_orders(consumers.cursor, orders=300)
    consumers.topic.send(events)
    with batch_held(consumers.connect) as is_held:
        inside = consumers.start()
        wait_for(is_held, "a batch before its end")
        inside.send_signal(signal.SIGKILL)
        inside.wait(10)
    wait_for(lambda: consumed(consumers.cursor) == 0, "nothing of it stays")

    with batch_held(consumers.connect) as is_held:
        between = consumers.start()
        wait_for(is_held, "a batch before its end")
        apache_kafka.freeze()
    try:
        wait_for(lambda: consumed(consumers.cursor) > 0, "its commit to Postgres")
        between.send_signal(signal.SIGKILL)
        between.wait(10)
    finally:
        apache_kafka.thaw()
    consumers.start()
    consumers.wait_until_done(len(events))


def test_others_come_and_go_in_the_middle_of_a_batch(consumers: Consumers) -> None:
    events = made_up_orders(consumers.cursor, orders=800)
    consumers.topic.send(events[:1_000])
    with batches_failing(consumers.cursor):
        first = consumers.start(batch=100)
        wait_for(lambda: "reports_day" in consumers.said(), "a batch that is kept in hand")
        second = consumers.start(batch=100)
        # Every member says at its first joining that nothing was taken from it.
        wait_for(lambda: bool(TAKEN.search(consumers.said())), "the first one loses partitions")
    wait_for(lambda: members(consumers) == 2, "both reading")
    consumers.topic.send(events[1_000:])
    consumers.end(first)
    consumers.wait_until_done(len(events))
    consumers.end(second)


def members(consumers: Consumers) -> int:
    """Who told last how far the partitions are."""
    consumers.cursor.execute("SELECT count(DISTINCT member) FROM reports_consumer")
    return int(consumers.cursor.fetchone()[0])


def test_doubled_late_and_shuffled(consumers: Consumers) -> None:
    events = made_up_orders(consumers.cursor, orders=400)
    chance = random.Random(5)
    mixed = [*events, *chance.sample(events, len(events) // 2)]
    chance.shuffle(mixed)
    consumers.topic.send(mixed)
    consumers.start()
    consumers.wait_until_done(len(events))


def test_postgres_does_not_answer_and_comes_back(consumers: Consumers, database_url: str) -> None:
    events = made_up_orders(consumers.cursor, orders=400)
    process = consumers.start(batch=20)
    wait_for(lambda: "partitions_assigned" in consumers.said(), "joining")
    with postgres_away(database_url):
        consumers.topic.send(events[: len(events) // 2])
        wait_for(lambda: "consumer_waits" in consumers.said(), "noticing")
    consumers.cursor = consumers.connect().cursor()
    consumers.topic.send(events[len(events) // 2 :])
    consumers.wait_until_done(len(events))
    assert "consumer_goes_on" in consumers.said()
    with postgres_away(database_url):
        consumers.topic.send_raw(b"", partition=0)
        wait_for(lambda: consumers.said().count("failures=1") >= 2, "noticing")
        consumers.end(process)


@contextlib.contextmanager
def postgres_away(database_url: str) -> Iterator[None]:
    """Nobody is connected to the test's database, and nobody can be."""
    server = psycopg2.connect(database_url)
    name = server.info.dbname
    server.close()
    server = psycopg2.connect(database_url.replace(f"/{name}", "/postgres"))
    server.autocommit = True
    switch = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    try:
        with server.cursor() as cursor:
            cursor.execute(switch.format(sql.Identifier(name), sql.SQL("false")))
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield
    finally:
        with server.cursor() as cursor:
            cursor.execute(switch.format(sql.Identifier(name), sql.SQL("true")))
        server.close()


def test_what_is_no_event_is_put_aside_and_the_rest_goes_on(consumers: Consumers) -> None:
    events = made_up_orders(consumers.cursor, orders=100)
    consumers.topic.send(events[:50])
    offset = consumers.topic.send_raw(b"{not json", [("ce_type", b"com.sluice.order.placed.v1"), ("own", b"\xff")])
    consumers.topic.send_raw(None)
    consumers.topic.send(events[50:])
    consumers.start()
    consumers.wait_until_done(len(events))
    wait_for(lambda: len(consumers.topic.read(consumers.topic.dead_letters)) == 2, "both put aside")
    (broken,) = (each for each in consumers.topic.read(consumers.topic.dead_letters) if each.value)
    headers = dict(broken.headers)
    assert (broken.key, broken.value, headers["own"]) == (b"k", b"{not json", b"\xff")
    assert headers["sluice_origin_topic"] == consumers.topic.name.encode()
    assert (headers["sluice_origin_partition"], headers["sluice_origin_offset"]) == (b"0", str(offset).encode())
    assert b"JSONDecodeError" in headers["sluice_error"]


def test_made_again_from_the_topic(consumers: Consumers, manage: Manage) -> None:
    events = made_up_orders(consumers.cursor, orders=200)
    consumers.topic.send(events)
    consumers.start()
    consumers.wait_until_done(len(events))
    consumers.cursor.execute("UPDATE reports_day SET revenue = 0")
    consumers.cursor.execute("UPDATE reports_order SET version = version + 5, items = '[]'")
    done = manage("rebuild_reports", "--from-topic", env=consumers.topic.environment)
    assert done.returncode == 0, done.stderr
    assert is_projected(consumers.cursor)
    assert consumed(consumers.cursor) == len(events), "the history tells each event once"


@pytest.mark.slow
def test_postgres_is_killed_and_starts_again(
    apache_kafka: ApacheKafka, kafka_prefix: str, manage: Manage, private_services: dict[str, str]
) -> None:
    topic = OrderTopic(apache_kafka.bootstrap, kafka_prefix)
    environment = {**private_services, "KAFKA_BOOTSTRAP_SERVERS": apache_kafka.bootstrap, "SLUICE_LOCAL": "1"}
    assert manage("migrate", "-v", "0", env=environment).returncode == 0
    place = place_open(Path(private_services["SLUICE_LOCAL_DIR"]))

    def connect() -> Any:
        connection = psycopg2.connect(dbname="sluice", user="sluice", host=str(place.run))
        connection.autocommit = True
        return connection

    command = ["manage.py", "consume_orders", "--group", topic.group, "--batch", "20", "--session", "6"]
    log = manage.directory / "consumers.log"
    process = start_logged(command, {**manage.environment, **topic.environment, **environment}, log)
    wait_for(lambda: "partitions_assigned" in log.read_text(), "joining")  # from now on Postgres has a client
    holder = Holder(connect)
    try:
        events = made_up_orders(holder.cursor, orders=600)
        topic.send(events)
        for share in (0.2, 0.6):
            wait_for(partial(holder.has_consumed, len(events) * share), "progress")
            os.kill(int((place.state / "postgres" / "postmaster.pid").read_text().split("\n")[0]), signal.SIGKILL)
        wait_for(partial(holder.has_consumed, len(events) - 1), f"reading\n{log.read_text()[-3000:]}")
        assert is_projected(holder.cursor)
        assert "consumer_waits" in log.read_text()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        holder.cursor.connection.close()


class Holder:
    """A connection that is made anew when the server was restarted."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self.cursor = connect().cursor()

    def has_consumed(self, more_than: float) -> bool:
        try:
            return consumed(self.cursor) > more_than
        except psycopg2.Error:
            self.cursor.connection.close()
            with contextlib.suppress(psycopg2.OperationalError):
                self.cursor = self._connect().cursor()
            return False


@pytest.mark.slow
def test_on_the_embedded_broker(
    embedded_kafka: EmbeddedKafka, kafka_prefix: str, manage: Manage, connect: Callable[[], Any]
) -> None:
    consumers = Consumers(manage, OrderTopic(embedded_kafka.bootstrap, kafka_prefix), connect)
    events = made_up_orders(consumers.cursor, orders=300)
    chance = random.Random(9)
    consumers.topic.send([*events, *chance.sample(events, len(events) // 3)])
    consumers.topic.send_raw(b"nothing")
    try:
        with batch_held(connect) as is_held:
            killed = consumers.start()
            wait_for(is_held, "a batch before its end")
            killed.send_signal(signal.SIGKILL)
            killed.wait(10)
        first, second = consumers.start(), consumers.start()
        consumers.wait_until_done(len(events))
        consumers.end(first)
        consumers.end(second)
        assert len(consumers.topic.read(consumers.topic.dead_letters)) >= 1
    finally:
        consumers.kill_all()
