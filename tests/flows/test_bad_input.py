"""Whatever a person hands to the command: a sentence and the right exit status, never a traceback."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Manage
from tests.flows.files import certificate_of, csv_text, query

GOOD = csv_text([("o1", "u1", "tea", 2)])


def two_members() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.csv", GOOD)
        archive.writestr("b.csv", GOOD)
    return out.getvalue()


def torn_gzip() -> bytes:
    body = csv_text([(f"o{number}", f"u{os.urandom(8).hex()}", "tea", 2) for number in range(60_000)])
    return gzip.compress(body.encode())[:-2000]


FILES: dict[str, tuple[bytes, tuple[str, ...], set[int]]] = {
    "empty": (b"", (), {1, 2}),
    "header only": (b"order_id,user_id,sku,quantity\n", (), {0}),
    "unknown columns": (b"a,b,c\n1,2,3\n", (), {2}),
    "binary": (random.Random(1).randbytes(50_000), (), {1, 2, 3}),
    "zeros": (bytes(10_000), (), {1, 2, 3}),
    "two members": (two_members(), (), {1, 2}),
    "torn gzip": (torn_gzip(), (), {1}),
    "not a gzip": (b"\x1f\x8b" + b"x" * 100, (), {1, 2}),
    "unknown profile": (GOOD.encode(), ("--profile", "nowhere"), {2}),
    "unknown field": (GOOD.encode(), ("--map", "colour=sku"), {2}),
    "unknown column": (GOOD.encode(), ("--map", "sku=Colour"), {2}),
    "not a mapping": (GOOD.encode(), ("--map", "sku"), {2}),
    "no workers": (GOOD.encode(), ("--workers", "0"), {2}),
    "ratio of two": (GOOD.encode(), ("--max-error-ratio", "2"), {2}),
    "unknown parent": (GOOD.encode(), ("--parent", "99"), {1, 2}),
    "unknown option": (GOOD.encode(), ("--fast",), {2}),
    "one quote": (b'order_id,user_id,sku,quantity\n"', (), {0, 3}),
    "only rejects": (b"order_id,user_id,sku,quantity\n,,,\x00\no1\n", (), {3}),
}


def test_input_that_cannot_be_loaded(manage: Manage, connect: Callable[[], Any], tmp_path: Path) -> None:
    wrong = {}
    for name, (content, options, wanted) in FILES.items():
        path = tmp_path / "given.csv"
        path.write_bytes(content)
        done = manage("ingest_csv", str(path), *options)
        if done.returncode not in wanted or "Traceback" in done.stderr or not (done.stderr + done.stdout).strip():
            wrong[name] = (done.returncode, done.stderr[-600:])
    assert wrong == {}
    assert query(connect, "SELECT count(*) FROM orders_order") == [(0,)]
    unbalanced = (
        "SELECT id FROM ingestion_import WHERE state LIKE 'completed%' AND NOT (certificate ->> 'balanced')::boolean"
    )
    assert query(connect, unbalanced) == []


def test_files_that_are_none(manage: Manage, tmp_path: Path) -> None:
    (tmp_path / "profile.toml").write_text("name = 3\n[nonsense]\n")
    (tmp_path / "good.csv").write_text(GOOD)
    for arguments in (
        [str(tmp_path / "missing.csv")],
        [str(tmp_path)],
        [str(tmp_path / "good.csv"), str(tmp_path / "missing.csv")],
        [str(tmp_path / "good.csv"), "--profile", str(tmp_path / "profile.toml")],
        ["-", "-"],
        [],
    ):
        done = manage("ingest_csv", *arguments, stdin=subprocess.DEVNULL)
        assert done.returncode == 2, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
        assert done.stderr.strip()


@pytest.mark.parametrize("change", ["touched", "replaced", "shortened", "deleted"])
def test_file_that_changes_while_it_is_imported(
    manage: Manage, connect: Callable[[], Any], tmp_path: Path, change: str
) -> None:
    path = tmp_path / "long.csv"
    manage("make_sample_csv", str(path), "--rows", "100000")
    process = manage.start("ingest_csv", str(path), "--workers", "1", "--json")
    while not query(connect, "SELECT 1 FROM ingestion_chunk WHERE state = 'done'"):
        assert process.poll() is None
        time.sleep(0.02)
    if change == "touched":
        os.utime(path)
    elif change == "replaced":
        path.rename(tmp_path / "old.csv")
        path.write_text(GOOD)
    elif change == "shortened":
        os.truncate(path, 1000)
    else:
        path.unlink()
    out, told = process.communicate(timeout=120)
    assert "Traceback" not in told
    if process.returncode == 0:
        pytest.skip("it was quicker than we")
    assert process.returncode == 1, told
    certificate = json.loads(out)
    assert certificate["state"] == "failed"
    assert certificate["balanced"], certificate["problems"]
    assert query(connect, "SELECT count(*) FROM orders_orderline") == [(certificate["loaded"],)]


def test_failed_import_is_told_in_its_certificate(manage: Manage, tmp_path: Path) -> None:
    path = tmp_path / "torn.csv.gz"
    path.write_bytes(torn_gzip())
    done = manage("ingest_csv", str(path), "--json")
    assert done.returncode == 1
    if done.stdout.strip():
        assert certificate_of(done)["state"] == "failed"
