"""Somebody loads a file: what is printed, what is there afterwards, and with what exit status."""

from __future__ import annotations

import gzip
import io
import json
import signal
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.conftest import Manage
from tests.flows.files import certificate_of, counts_of, csv_text, loaded, query

Connect = Callable[[], Any]
ORDERS = [("o1", "u1", "tea", 2), ("o1", "u1", "tin", 1), ("o2", "u2", "tea", 3)]


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """A small file in our own format."""
    path = tmp_path / "orders.csv"
    path.write_text(csv_text(ORDERS))
    return path


def test_file_in_our_own_format_needs_no_profile(manage: Manage, connect: Connect, orders: Path) -> None:
    done = manage("ingest_csv", str(orders))
    assert done.returncode == 0, done.stderr
    assert "3" in done.stdout
    assert query(connect, "SELECT order_id, item_id, quantity FROM orders_orderline ORDER BY 1, 2") == [
        (order, item, quantity) for order, _, item, quantity in ORDERS
    ]
    assert manage("verify_import", "1").returncode == 0


def test_json_is_alone_on_standard_output(manage: Manage, orders: Path) -> None:
    certificate = certificate_of(manage("ingest_csv", str(orders), "--json"))
    assert certificate["state"] == "completed"
    assert (certificate["records"], certificate["loaded"]) == (3, 3)
    assert certificate["bytes"] == orders.stat().st_size
    for name in ("sha256", "dialect", "seconds", "records_per_second", "import_id", "profile", "unprocessed"):
        assert name in certificate
    again = certificate_of(manage("ingest_csv", str(orders), "--json"))
    assert again["import_id"] == certificate["import_id"]


def test_rejects_are_explained_and_kept_byte_for_byte(manage: Manage, connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    bad = [b'o2,u2,"te\na",many\r\n', b"o3,u3\n", b"o4,u4,tea,=1+1\n"]
    path.write_bytes(b"order_id,user_id,sku,quantity\no1,u1,tea,1\n" + b"".join(bad) + b"o5,u5,tin,2")
    done = manage("ingest_csv", str(path), "--rejects", str(tmp_path / "out"))
    assert done.returncode == 3, done.stderr
    failed = (tmp_path / "out" / "failed.csv").read_bytes()
    assert failed == b"order_id,user_id,sku,quantity\n" + b"".join(bad)
    errors = (tmp_path / "out" / "errors.csv").read_text()
    assert "'=1+1" in errors
    assert query(connect, "SELECT count(*) FROM orders_order") == [(2,)]
    assert manage("verify_import", "1").returncode == 0


def test_mended_rejects_add_exactly_the_missing_lines(manage: Manage, connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(csv_text([*ORDERS, ("o2", "u2", "tin", "many"), ("o3", "u3", "tin", "few"), ("o1", "u1", "x", 9)]))
    assert manage("ingest_csv", str(path), "--rejects", str(tmp_path)).returncode == 3
    before = loaded(connect)
    mended = (tmp_path / "failed.csv").read_text().replace("many", "7").replace("few", "8")
    (tmp_path / "mended.csv").write_text(mended)
    certificate = certificate_of(manage("ingest_csv", str(tmp_path / "mended.csv"), "--parent", "1", "--json"))
    assert (certificate["loaded"], certificate["parent"]) == (2, 1)
    after = loaded(connect)
    added = [line[:5] for line in after["lines"] if line not in before["lines"]]
    assert [(order, item, quantity) for order, _, item, quantity, _ in added] == [("o2", "tin", 7), ("o3", "tin", 8)]
    assert [line for line in after["lines"] if line in before["lines"]] == before["lines"]
    assert min(number for _, number, *_ in added) > 6
    assert manage("verify_import", "--all").returncode == 0


@pytest.mark.parametrize("packing", ["gz", "zst", "zip", "stdin"])
def test_packed_files_and_standard_input(manage: Manage, connect: Connect, orders: Path, packing: str) -> None:
    plain, packed = orders.read_bytes(), orders.with_suffix(f".{packing}")
    if packing == "gz":
        packed.write_bytes(gzip.compress(plain))
    elif packing == "zst":
        packed.write_bytes(zstandard.compress(plain))
    elif packing == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("orders.csv", plain)
        packed.write_bytes(out.getvalue())
    if packing == "stdin":
        done = manage("ingest_csv", "-", "--json", input=plain.decode())
        assert "cannot be resumed" in done.stderr
    else:
        done = manage("ingest_csv", str(packed), "--json")
    assert done.returncode == 0, done.stderr
    certificate = certificate_of(done)
    assert (certificate["loaded"], certificate["bytes"]) == (3, len(plain))
    assert len(query(connect, "SELECT 1 FROM orders_orderline")) == 3
    spooled = [path for path in orders.parent.rglob("*") if "spool" in path.name]
    assert spooled == []


def test_interrupted_import_goes_on_with_the_same_command(manage: Manage, connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    manage("make_sample_csv", str(path), "--rows", "60000", "--seed", "3")
    process = manage.start("ingest_csv", str(path), "--workers", "1", "--json")
    deadline = time.monotonic() + 60
    while not query(connect, "SELECT 1 FROM ingestion_chunk WHERE state = 'done'"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "same command" in told
    assert "Traceback" not in told
    paused = json.loads(out)
    assert paused["state"] == "paused"
    assert paused["unprocessed"] > 0
    assert query(connect, "SELECT count(*) FROM orders_orderline") == [(paused["loaded"],)]
    done = manage("ingest_csv", str(path), "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    certificate = certificate_of(done)
    assert certificate["import_id"] == paused["import_id"]
    assert (certificate["loaded"], certificate["unprocessed"]) == (60_000, 0)
    assert query(connect, "SELECT count(*) FROM orders_orderline") == [(60_000,)]
    assert manage("verify_import", "1").returncode == 0
    once = manage("ingest_csv", str(path), "--force", "--on-conflict", "update", "--json")
    assert counts_of(certificate_of(once))["unchanged"] == 60_000


def test_max_errors_stops_and_says_what_stayed(manage: Manage, connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(csv_text([(f"o{number}", "u", "i", "1" if number % 2 else "x") for number in range(100)]))
    done = manage("ingest_csv", str(path), "--max-errors", "10", "--json")
    assert done.returncode == 1
    certificate = certificate_of(done)
    assert certificate["state"] == "failed"
    assert "max_errors" in certificate["reason"]
    assert certificate["rejected"] + certificate["unprocessed"] == 100
    assert query(connect, "SELECT count(*) FROM orders_order") == [(0,)]
    assert manage("ingest_csv", str(path), "--json").returncode == 3, "a failed import is never the same import"


@pytest.mark.parametrize("partial_orders", ["load", pytest.param("reject", marks=pytest.mark.slow)])
def test_wrong_mapping_stops_soon(manage: Manage, tmp_path: Path, partial_orders: str) -> None:
    path, profile = tmp_path / "long.csv", tmp_path / "wrong.toml"
    with path.open("w") as out:
        out.write("order_id,user_id,sku,quantity\n" + "o1,u1,tea,lots of it\n" * 300_000)  # six chunks
    profile.write_text(f'name = "wrong"\n[rules]\npartial_orders = "{partial_orders}"\n')
    done = manage("ingest_csv", str(path), "--profile", str(profile), "--workers", "1", "--json")
    assert done.returncode == 1, done.stderr
    certificate = certificate_of(done)
    assert "max_error_ratio" in certificate["reason"]
    assert certificate["rejected"] + certificate["unprocessed"] == 300_000
    assert certificate["rejected"] < 100_000, "no more than the first chunk is worked on"
