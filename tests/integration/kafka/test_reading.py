"""Programs that nobody here wrote read the topics of a real Kafka and find what docs/events.md says."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from ingestion.clock import utc_now
from orders.drafts import Amendment
from orders.services import order_amend, order_cancel, order_change_status
from tests.event_schemas import FOLDER, IMPORT, ORDER, strict_validator

PAGE: Final = (FOLDER.parent / "events.md").read_text(encoding="utf-8")
FILE: Final = b"""order_id,user_id,sku,quantity,unit_price,currency,ordered_at,country
o1,u1,lamp-2,1,39.90,EUR,2026-03-04T09:12:00Z,DE
o1,u1,bulb-e27,4,2.49,EUR,2026-03-04T09:12:00Z,DE
o2,u2,"desk, oak",1,249.00,EUR,2026-03-04T10:02:00.5Z,AT
o3,u1,mug,6,,,,
o4,u1,mug,none,,,,
"""
IDS: Final = ["o1:1", "o1:2", "o2:1", "o2:2", "o3:1", "o3:2"]


@pytest.fixture
def topics(apache_kafka: Any, kafka_prefix: str, manage: Any, database: str, tmp_path: Path) -> dict[str, str]:
    """A file was loaded, its orders were changed, and all of it is in Kafka; the broker, and names of topics."""
    del database
    environment = {"KAFKA_BOOTSTRAP_SERVERS": apache_kafka.bootstrap, "KAFKA_TOPIC_PREFIX": kafka_prefix}
    assert manage("kafka_topics", "--create", env=environment).returncode == 0
    (tmp_path / "orders.csv").write_bytes(FILE)
    done = manage("ingest_csv", "orders.csv", env=environment)
    assert done.returncode == 3, done.stderr
    order_change_status(order_id="o1", status="paid", now=utc_now())
    order_cancel(order_id="o2", now=utc_now())
    order_amend(order_id="o3", amendment=Amendment(header={"country": "FR"}), now=utc_now())
    sent = manage("relay_outbox", "--once", env=environment)
    assert sent.returncode == 0, sent.stderr
    names = {"orders": "sluice.orders.v1", "imports": "sluice.imports.v1"}
    return {"broker": apache_kafka.bootstrap, **{name: kafka_prefix + topic for name, topic in names.items()}}


def documented_headers() -> list[str]:
    return re.findall(r"(?m)^\| `([a-z_-]+)` \|", PAGE)


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed (apt-get install kcat)")
def test_kcat(topics: dict[str, str]) -> None:
    (line,) = re.findall(r"(?m)^kcat .*$", PAGE)
    line = line.replace("localhost:9092", topics["broker"]).replace("sluice.orders.v1", topics["orders"])
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    found = re.findall(r"(?m)^(\d+)/(\d+) (.+)\n  (.+)\n  (.+)$", done.stdout)
    assert len(found) == len(IDS)
    by_id: dict[str, tuple[int, int]] = {}
    for partition, offset, key, headers, value in found:
        told = dict(each.split("=", 1) for each in headers.split(",")) if "," in headers else {}
        data = json.loads(value)
        strict_validator(ORDER).validate(data)
        assert list(told) == documented_headers()
        assert told["ce_id"] == f"{data['order_id']}:{data['version']}"
        assert told["ce_subject"] == data["order_id"]
        assert told["ce_time"] == data["updated_at"]
        assert key == data["user_id"]
        by_id[told["ce_id"]] = int(partition), int(offset)
    assert sorted(by_id) == IDS
    for order in ("o1", "o2", "o3"):
        first, second = by_id[f"{order}:1"], by_id[f"{order}:2"]
        assert first[0] == second[0]
        assert first[1] < second[1]


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed (apt-get install kcat)")
def test_kcat_reads_how_an_import_ended(topics: dict[str, str]) -> None:
    command = ["kcat", "-b", topics["broker"], "-t", topics["imports"], "-C", "-e", "-q", "-J"]
    (line,) = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    message = json.loads(line)
    data = json.loads(message["payload"])
    strict_validator(IMPORT).validate(data)
    headers = dict(zip(message["headers"][::2], message["headers"][1::2], strict=True))
    assert list(headers) == documented_headers()
    assert headers["ce_id"] == f"import:{data['import_id']}:completed_with_rejects"
    assert headers["ce_type"] == "com.sluice.import.completed.v1"
    assert (data["counts"]["loaded"], data["errors"]) == (4, {"invalid_integer": 1})


def test_a_plain_script(topics: dict[str, str], tmp_path: Path, kafka_prefix: str) -> None:
    """The one that docs/events.md shows, as it stands there; without us on its path."""
    (script,) = re.findall(r"(?s)```python\n(.*?)```", PAGE)
    script = script.replace("sluice.orders.v1", topics["orders"]).replace('"billing"', f'"{kafka_prefix}billing"')
    (tmp_path / "read_orders.py").write_text(script)
    command = [sys.executable, str(tmp_path / "read_orders.py"), topics["broker"], "8000"]
    run: Callable[..., Any] = subprocess.run
    done = run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    said = sorted(line.split() for line in done.stdout.splitlines())
    assert [line[0] for line in said] == IDS
    assert said[0] == ["o1:1", "com.sluice.order.placed.v1", "placed", "2"]
    assert said[1] == ["o1:2", "com.sluice.order.status_changed.v1", "paid", "2"]
    assert said[3] == ["o2:2", "com.sluice.order.cancelled.v1", "cancelled", "1"]
    assert said[5] == ["o3:2", "com.sluice.order.amended.v1", "placed", "1"]
