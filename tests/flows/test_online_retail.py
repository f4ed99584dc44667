"""A real file that nobody here wrote: 541,909 invoice lines of a British web shop."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Manage
from tests.flows.files import ONLINE_RETAIL, certificate_of, query

Connect = Callable[[], Any]
PROFILE = ("--profile", "online-retail", "--json")

pytestmark = pytest.mark.skipif(not ONLINE_RETAIL.exists(), reason="needs the shared data")

ROWS = {
    "users": "SELECT id, email, name, age, country, import_id FROM accounts_user ORDER BY id",
    "items": "SELECT sku, name, import_id FROM orders_item ORDER BY sku",
    "orders": """SELECT id, user_id, status, ordered_at, country, currency, import_id, import_record
                 FROM orders_order ORDER BY id""",
    "lines": "SELECT order_id, line_no, item_id, quantity, unit_price, import_id FROM orders_orderline ORDER BY 1, 2",
}


SIZES = """SELECT (SELECT count(*) FROM orders_order), (SELECT count(*) FROM accounts_user),
                  (SELECT count(*) FROM orders_item)"""

ERRORS = "SELECT code, column_name, count(*) FROM ingestion_reject GROUP BY 1, 2 ORDER BY 1, 2"


def all_rows(connect: Connect) -> dict[str, list[tuple[Any, ...]]]:
    return {name: query(connect, statement) for name, statement in ROWS.items()}


def nearest(places: list[int], at: int) -> int:
    return min(places, key=lambda place: abs(place - at))


def cut(content: bytes, directory: Path) -> list[Path]:
    """Seven pieces at record boundaries, three cuts inside an invoice; the header stands before each."""
    header, *records = content.splitlines(keepends=True)
    invoices = [record.split(b",", 1)[0] for record in records]
    inside = [number for number in range(1, len(records)) if invoices[number] == invoices[number - 1]]
    between = [number for number in range(1, len(records)) if invoices[number] != invoices[number - 1]]
    wanted = [len(records) * part // 7 for part in range(1, 7)]
    cuts = [nearest(inside if number < 3 else between, at) for number, at in enumerate(wanted)]
    paths = []
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(records)], strict=True)):
        paths.append(directory / f"piece-{number}.csv")
        paths[-1].write_bytes(header + b"".join(records[first:last]))
    assert sum(number in set(inside) for number in cuts) == 3
    return paths


def test_exact_numbers(manage: Manage, connect: Connect) -> None:
    done = manage("ingest_csv", str(ONLINE_RETAIL), *PROFILE)
    assert done.returncode == 3, done.stderr
    certificate = certificate_of(done)
    assert certificate["bytes"] == 45_580_638
    assert certificate["sha256"] == "d07aec9960083af2339975a3f9d3b26313b342dcd9f86cce0b919b1cde639a44"
    assert (certificate["records"], certificate["loaded"], certificate["rejected"]) == (541_909, 397_884, 144_025)
    assert query(connect, "SELECT count(*) FROM orders_orderline") == [(397_884,)]
    assert str(query(connect, "SELECT sum(quantity * unit_price) FROM orders_orderline")[0][0]) == "8911407.9040"
    assert query(connect, SIZES) == [(18_532, 4_338, 3_665)]
    assert query(connect, ERRORS) == [
        ("out_of_range", "Quantity", 10_624),
        ("out_of_range", "UnitPrice", 2_517),
        ("required", "CustomerID", 135_080),
    ]
    assert manage("verify_import", "1").returncode == 0


@pytest.mark.parametrize("records", [40_000, pytest.param(541_909, marks=pytest.mark.slow)])
def test_every_way_of_loading_it_again(manage: Manage, connect: Connect, tmp_path: Path, records: int) -> None:
    path = tmp_path / "retail.csv"
    with gzip.open(ONLINE_RETAIL) as packed:
        path.write_bytes(b"".join(islice(packed, records + 1)))
    done = manage("ingest_csv", str(path), *PROFILE)
    assert done.returncode == 3, done.stderr
    certificate = certificate_of(done)
    assert certificate["records"] == records
    assert certificate["chunks"] > 1

    # The same file again is the same import.
    entries = query(connect, "SELECT count(*) FROM outbox_entry WHERE kind <> 'import'")
    again = manage("ingest_csv", str(path), *PROFILE)
    assert again.returncode == 3
    assert certificate_of(again)["import_id"] == certificate["import_id"]
    assert query(connect, "SELECT count(*) FROM ingestion_import") == [(1,)]
    assert query(connect, "SELECT count(*) FROM outbox_entry WHERE kind <> 'import'") == entries

    # Forced, it finds nothing to do.
    rows = all_rows(connect)
    forced = certificate_of(manage("ingest_csv", str(path), *PROFILE, "--force", "--on-conflict", "update"))
    assert (forced["loaded"], forced["unchanged"]) == (0, certificate["loaded"])
    assert forced["rejected"] == certificate["rejected"]
    assert query(connect, "SELECT count(*) FROM outbox_entry WHERE kind <> 'import'") == entries
    assert all_rows(connect) == rows
    assert manage("verify_import", "--all").returncode == 0


@pytest.mark.slow
def test_seven_pieces_load_to_the_same_rows(
    manage: Manage, connect: Connect, tmp_path: Path, database_url: str
) -> None:
    pieces = cut(gzip.decompress(ONLINE_RETAIL.read_bytes()), tmp_path)
    done = manage("ingest_csv", *map(str, pieces), *PROFILE)
    assert done.returncode == 3, done.stderr
    certificate = certificate_of(done)
    assert (certificate["records"], certificate["loaded"], certificate["rejected"]) == (541_909, 397_884, 144_025)
    found = all_rows(connect)
    assert query(connect, SIZES) == [(18_532, 4_338, 3_665)]
    assert len(found["lines"]) == 397_884
    assert manage("verify_import", "1").returncode == 0
    # The whole file in one piece says of every row what is there already.
    one = certificate_of(manage("ingest_csv", str(ONLINE_RETAIL), *PROFILE, "--on-conflict", "update"))
    assert (one["unchanged"], one["loaded"]) == (397_884, 0)
    assert all_rows(connect) == found
