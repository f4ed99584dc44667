"""
A topic of orders' events made for one test, and orders in the database that these events end in.

    topic = OrderTopic(apache_kafka.bootstrap, prefix)      # makes the topics
    events = made_up_orders(cursor, orders=500)             # in the database in their last version
    topic.send(events)                                      # every version of each
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from zlib import crc32

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from tests.integration.reports.records import data, record
from tests.reporting import direct_sums, stored_sums

PARTITIONS: Final = 6
WAIT_SECONDS: Final = 120
STATUSES: Final = ("placed", "paid", "shipped", "cancelled")


class OrderTopic:
    """
    Args:
        bootstrap: of the broker.
        prefix: KAFKA_TOPIC_PREFIX, of this test alone.
    """

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.name = f"{prefix}sluice.orders.v1"
        self.dead_letters = f"{prefix}sluice.orders.dlq.v1"
        self.group = f"{prefix}reports"
        self.environment = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap, "KAFKA_TOPIC_PREFIX": prefix, "LOG_LEVEL": "INFO"}
        self._make()

    def send(self, contents: Iterable[dict[str, Any]]) -> None:
        """Append events, each order's to one partition; returns when the broker has them."""
        producer = KafkaProducer(bootstrap_servers=self.bootstrap, acks="all", linger_ms=5)
        try:
            futures = []
            for content in contents:
                made = record(content)
                key = (content["user_id"] or content["order_id"]).encode()
                futures.append(
                    producer.send(
                        self.name, key=key, value=made.value, headers=list(made.headers),
                        partition=crc32(key) % PARTITIONS,
                    )
                )  # fmt: skip
            producer.flush(timeout=WAIT_SECONDS)
            for future in futures:
                future.get(timeout=WAIT_SECONDS)
        finally:
            producer.close()

    def send_raw(self, value: bytes | None, headers: Sequence[tuple[str, bytes]] = (), *, partition: int = 0) -> int:
        """Append anything; returns its offset."""
        producer = KafkaProducer(bootstrap_servers=self.bootstrap, acks="all")
        try:
            future = producer.send(self.name, key=b"k", value=value, headers=list(headers), partition=partition)
            producer.flush(timeout=WAIT_SECONDS)
            return int(future.get(timeout=WAIT_SECONDS).offset)
        finally:
            producer.close()

    def read(self, name: str) -> list[Any]:
        """All records of a topic."""
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        try:
            partitions = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions)
            found: list[Any] = []
            until = time.monotonic() + WAIT_SECONDS
            while any(consumer.position(each) < ends[each] for each in partitions) and time.monotonic() < until:
                for records in consumer.poll(timeout_ms=200).values():
                    found += records
            return found
        finally:
            consumer.close(autocommit=False)

    def _make(self) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.create_topics(
                [
                    NewTopic(self.name, num_partitions=PARTITIONS, replication_factor=1),
                    NewTopic(self.dead_letters, num_partitions=1, replication_factor=1),
                ]
            )
        finally:
            admin.close()


def made_up_orders(cursor: Any, *, orders: int, versions: int = 3, seed: int = 1, prefix: str = "o") -> list[Any]:
    """
    Write orders in their last version, and return the contents of the events of all versions, those of one order in
    its order and the orders mixed up.

    Args:
        cursor: of psycopg2, committing by itself.
    """
    chance = random.Random(seed)
    users, skus = [f"u{number}" for number in range(40)], [f"i{number}" for number in range(30)]
    cursor.executemany(
        "INSERT INTO accounts_user (id, password, name, country, is_active, is_staff, is_superuser, version)"
        " VALUES (%s, '!', '', '', true, false, false, 1) ON CONFLICT DO NOTHING", [(user,) for user in users],
    )  # fmt: skip
    cursor.executemany(
        "INSERT INTO orders_item (sku, name) VALUES (%s, '') ON CONFLICT DO NOTHING", [(sku,) for sku in skus]
    )
    events: list[tuple[float, dict[str, Any]]] = []
    for number in range(orders):
        content = _order(chance, f"{prefix}{number:05}", users, skus)
        at = chance.random()
        for version in range(1, chance.randint(1, versions) + 1):
            content = {**content, "version": version, "status": chance.choice(STATUSES)}
            if chance.random() < 0.3:
                content = {**content, "country": chance.choice(["DE", "AT", ""]), "lines": _lines(chance, skus)}
            events.append((at, content))
            at += chance.random()
        _write(cursor, content)
    return [content for _, content in sorted(events, key=lambda pair: pair[0])]


def _order(chance: random.Random, order_id: str, users: list[str], skus: list[str]) -> dict[str, Any]:
    day = f"2026-03-{chance.randint(1, 9):02}T{chance.randint(0, 23):02}:30:00Z"
    return data(
        order_id, user_id=chance.choice([None, *users]), ordered_at=chance.choice([None, day]),
        created_at="2026-03-10T00:00:00Z", country=chance.choice(["DE", "AT", ""]),
        currency=chance.choice(["EUR", "USD"]), lines=_lines(chance, skus),
    )  # fmt: skip


def _lines(chance: random.Random, skus: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "line_no": number,
            "sku": chance.choice(skus),
            "quantity": chance.choice([-1, 1, 2, 7]),
            "unit_price": chance.choice([None, f"{chance.randint(0, 99)}.{chance.randint(0, 9999):04}"]),
        }
        for number in range(1, chance.randint(1, 4))
    ]


def _write(cursor: Any, content: dict[str, Any]) -> None:
    cursor.execute(
        "INSERT INTO orders_order (id, user_id, status, ordered_at, country, currency, version, created_at, updated_at)"
        " VALUES (%(order_id)s, %(user_id)s, %(status)s, %(ordered_at)s, %(country)s, %(currency)s, %(version)s,"
        " %(created_at)s, %(updated_at)s)", {**content, "lines": None, "attributes": None},
    )  # fmt: skip
    for line in content["lines"]:
        cursor.execute(
            "INSERT INTO orders_orderline (order_id, line_no, item_id, quantity, unit_price)"
            " VALUES (%(order_id)s, %(line_no)s, %(sku)s, %(quantity)s, %(unit_price)s)",
            {"order_id": content["order_id"], **line},
        )


def wait_for(condition: Callable[[], bool], what: str, *, seconds: float = WAIT_SECONDS) -> None:
    """Until something is so."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"{what} did not happen"
        time.sleep(0.05)


def is_projected(cursor: Any) -> bool:
    """Whether the reports show what the orders add up to."""
    return stored_sums(cursor) == direct_sums(cursor)


def consumed(cursor: Any) -> int:
    """Events in the history."""
    cursor.execute("SELECT count(*) FROM reports_history")
    return int(cursor.fetchone()[0])
