"""
`python -m benchmarks.reports`: how fast consumers project the events of orders, from a topic that is full.

Measured between the first batch that a consumer has written and the last one, so starting and joining the group do not
count. KAFKA_BOOTSTRAP_SERVERS names the broker; without it the embedded one is used.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, Final
from zlib import crc32

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from kafka import KafkaAdminClient, KafkaProducer  # noqa: E402 - Django first
from kafka.admin import NewTopic  # noqa: E402

from benchmarks.databases import CHECKOUT, Database, migrated_template  # noqa: E402
from config.kernel.kafka.clients import bootstrap_servers  # noqa: E402

PARTITIONS: Final = 6
LIMIT_SECONDS: Final = 900
MEASURED: Final = """
SELECT count(*), count(*) FILTER (WHERE consumed_at > first), EXTRACT(EPOCH FROM max(consumed_at) - min(first))::float8
FROM reports_history, (SELECT min(consumed_at) AS first FROM reports_history) f
"""


def main() -> None:
    """Measure one consumer, then several, on the same topic."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--consumers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    prefix = f"bench-{os.getpid()}-"
    fill(prefix, options.events)
    with migrated_template() as template:
        for consumers in options.consumers:
            with template.clone(f"reports_{consumers}") as database:
                seconds, events = measure(database, prefix, consumers, options.events)
                print(f"{consumers} consumer(s): {events / seconds:,.0f} events/s ({events:,} in {seconds:.1f} s)")


def fill(prefix: str, events: int) -> None:
    """Make the topics, and put newly placed orders into them."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers())
    topics = {"sluice.orders.v1": PARTITIONS, "sluice.orders.dlq.v1": 1}
    admin.create_topics([NewTopic(f"{prefix}{name}", number, 1) for name, number in topics.items()])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers(), linger_ms=20, batch_size=256 << 10)
    for content in made_up(events):
        key = content["user_id"].encode()
        headers = {
            "ce_specversion": "1.0", "ce_id": f"{content['order_id']}:1", "ce_type": "com.sluice.order.placed.v1",
            "ce_source": "/sluice", "ce_subject": content["order_id"], "ce_time": content["updated_at"],
            "ce_dataschema": "urn:sluice:order.v1", "content-type": "application/json; charset=utf-8",
        }  # fmt: skip
        producer.send(
            f"{prefix}sluice.orders.v1", key=key, value=json.dumps(content, separators=(",", ":")).encode(),
            headers=[(name, value.encode()) for name, value in headers.items()], partition=crc32(key) % PARTITIONS,
        )  # fmt: skip
    producer.flush()
    producer.close()


def made_up(events: int) -> Iterator[dict[str, Any]]:
    """Orders with two lines, of a fifth as many users, 10,000 items, four countries and 60 days."""
    chance = random.Random(1)
    for number in range(events):
        lines = [
            {"line_no": line, "sku": f"sku-{chance.randrange(10_000)}", "quantity": 2, "unit_price": "12.5000"}
            for line in (1, 2)
        ]
        yield {
            "order_id": f"o{number:09}", "version": 1, "user_id": f"u{chance.randrange(max(1, events // 5))}",
            "status": "placed", "ordered_at": f"2026-0{number % 2 + 1}-{number % 30 // 2 + 1:02}T09:12:00Z",
            "country": ("DE", "AT", "FR", "GB")[number % 4], "currency": "EUR", "lines": lines, "attributes": None,
            "import": {"id": 1, "chunk": 1, "record": number}, "created_at": "2026-03-04T09:12:00.123456Z",
            "updated_at": "2026-03-04T09:12:00.123456Z",
        }  # fmt: skip


def measure(database: Database, prefix: str, consumers: int, events: int) -> tuple[float, int]:
    """Run consumers until every event is read: seconds, and the events written in them."""
    environment = {
        **database.environment, "KAFKA_BOOTSTRAP_SERVERS": ",".join(bootstrap_servers()), "KAFKA_TOPIC_PREFIX": prefix,
    }  # fmt: skip
    command = [sys.executable, "manage.py", "consume_orders", "--group", f"{prefix}{database.name}"]
    with tempfile.TemporaryFile() as log:
        running = [
            subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=log, stderr=log) for _ in range(consumers)
        ]
        until = time.monotonic() + LIMIT_SECONDS
        while database.count("reports_history") < events:
            if time.monotonic() > until or any(process.poll() is not None for process in running):
                log.seek(0)
                raise SystemExit(f"it did not come to its end:\n{log.read().decode()[-4000:]}")
            time.sleep(1)
        for process in running:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    ((read, measured, seconds),) = database.query(MEASURED)
    if read != events:
        raise SystemExit(f"{read:,} events of {events:,} were written")
    return float(seconds), int(measured)


if __name__ == "__main__":
    main()
