"""Somebody tampers with what was loaded, or changes it as they may: what verify_import finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import Manage
from tests.flows.files import csv_text, execute

Connect = Callable[[], Any]
HEADER = ("order_id", "user_id", "sku", "quantity", "unit_price", "country", "ordered_at")


def load(
    manage: Manage, path: Path, *, quantity: int = 1, orders: range = range(20), options: tuple[str, ...] = ()
) -> None:
    rows: list[tuple[object, ...]] = [
        (f"o{number}", f"u{number % 5}", f"i{line}", quantity, "2.50", "CH", "2025-01-31T08:00:00Z")
        for number in orders
        for line in (1, 2)
    ]
    path.write_text(csv_text([*rows, ("o3", "u3", "i1", "many", "1", "CH", "")], HEADER))
    assert manage("ingest_csv", str(path), *options).returncode == 3


def test_rows_changed_by_a_later_import_are_listed_apart(manage: Manage, connect: Connect, tmp_path: Path) -> None:
    load(manage, tmp_path / "first.csv")
    load(manage, tmp_path / "second.csv", quantity=5, orders=range(7), options=("--on-conflict", "update"))
    done = manage("verify_import", "1", "--json")
    assert done.returncode == 0, done.stdout
    verdict = json.loads(done.stdout)
    assert verdict["problems"] == []
    assert verdict["changed_since"] == {"orders": 7, "lines": 14}
    assert manage("verify_import", "--all").returncode == 0
    # Beside them an alteration is still found.
    execute(connect, "UPDATE orders_orderline SET quantity = 8 WHERE order_id = 'o12' AND line_no = 25")
    altered = manage("verify_import", "1", "--json")
    assert altered.returncode == 1
    assert "o12/25" in str(json.loads(altered.stdout)["problems"])


def test_alteration_beside_a_later_version_is_found(manage: Manage, connect: Connect, tmp_path: Path) -> None:
    """Somebody paid an order, which is a version of its own; another row was changed behind everybody's back."""
    load(manage, tmp_path / "first.csv")
    execute(connect, "UPDATE orders_order SET status = 'paid', version = version + 1 WHERE id = 'o2'")
    done = manage("verify_import", "1", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["changed_since"] == {"orders": 1, "lines": 2}
    execute(connect, "UPDATE orders_order SET ordered_at = '2024-01-01' WHERE id = 'o12'")
    assert manage("verify_import", "1").returncode == 1


def test_verify_says_what_it_was_not_asked(manage: Manage) -> None:
    assert manage("verify_import").returncode == 2
    assert manage("verify_import", "7").returncode == 2
    assert manage("verify_import", "1", "--all").returncode == 2
    assert manage("verify_import", "--all").returncode == 0
