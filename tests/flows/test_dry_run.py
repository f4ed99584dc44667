"""A dry run says exactly what the real run then does, and leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Manage
from tests.flows.files import certificate_of, counts_of, csv_text, execute, query

Connect = Callable[[], Any]
HEADER = ("order_id", "user_id", "sku", "quantity", "line_no", "user_email")
BEFORE = [
    ("o1", "u1", "tea", 1, 1, "a@example.com"),
    ("o1", "u1", "tin", 1, 2, ""),
    ("o2", "u2", "tea", 1, 1, ""),
    ("o3", "u3", "tea", 1, 1, ""),
]
AFTER = [
    ("o1", "u1", "tea", 1, 1, ""),
    ("o2", "u2", "tea", 5, 1, ""),
    ("o3", "other", "tea", 1, 1, ""),
    ("o4", "u4", "new", 1, 1, "a@example.com"),
    ("o5", "u5", "new", 1, 1, ""),
    ("o5", "u5", "new", 2, 1, ""),
    ("o6", "u6", "new", "x", 1, ""),
]
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
WRITES = "SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del) FROM pg_stat_user_tables WHERE schemaname = 'public'"
SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1"


def contents(connect: Connect) -> dict[str, Any]:
    """A fingerprint of every table, and every sequence."""
    found: dict[str, Any] = {"sequences": query(connect, SEQUENCES)}
    for (table,) in query(connect, TABLES):
        found[table] = query(connect, f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t")
    return found


@pytest.mark.parametrize("policy", [pytest.param("skip", marks=pytest.mark.slow), "update", "error"])
def test_prediction_comes_true(manage: Manage, connect: Connect, tmp_path: Path, policy: str) -> None:
    (tmp_path / "before.csv").write_text(csv_text(BEFORE, HEADER))
    (tmp_path / "after.csv").write_text(csv_text(AFTER, HEADER))
    assert manage("ingest_csv", str(tmp_path / "before.csv")).returncode == 0
    execute(connect, "SELECT pg_stat_force_next_flush()")
    untouched, writes = contents(connect), query(connect, WRITES)
    arguments = (
        "ingest_csv",
        str(tmp_path / "after.csv"),
        "--on-conflict",
        policy,
        "--json",
        "--rejects",
        str(tmp_path),
    )
    dry = manage(*arguments, "--dry-run")
    assert contents(connect) == untouched
    assert query(connect, WRITES) == writes
    predicted = certificate_of(dry)
    assert predicted["dry_run"]
    assert predicted["import_id"] is None
    real = manage(*arguments)
    assert counts_of(certificate_of(real)) == counts_of(predicted)
    assert (dry.returncode, real.returncode) == (3, 3)
    assert certificate_of(real)["errors"]["duplicate_email"] == 1
    quantity = query(connect, "SELECT quantity FROM orders_orderline WHERE order_id = 'o2'")
    assert quantity == [(5 if policy == "update" else 1,)]
    assert manage("verify_import", "--all").returncode == 0
