"""The result depends on the file alone: not on who worked on which chunk, nor on which chunk was merged first."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ingestion.models import Chunk
from tests.integration.ingestion.driving import (
    Driver,
    Schedule,
    csv_bytes,
    empty_tables,
    everything,
    facts,
    profile_with,
    rows,
    without_times,
)
from tests.thorough import seeds

WIDE = ("order_id", "user_id", "sku", "quantity", "line_no", "user_email", "item_name", "unit_price", "country")


def messy_file(seed: int, records: int = 44) -> bytes:
    """Few users, items and orders, so that nearly everything collides with something."""
    chance = random.Random(seed)
    made = []
    for _ in range(records):
        order = chance.randrange(14)
        made.append(
            (
                f"o{order}",
                f"u{order % 6}" if chance.random() < 0.8 else f"u{chance.randrange(6)}",
                f"i{chance.randrange(5)}",
                chance.choice(["1", "2", "3", "0", "many"]) if chance.random() < 0.2 else "1",
                chance.choice(["", str(chance.randrange(1, 5))]),
                chance.choice(["", f"mail{chance.randrange(6)}@example.com"]),
                f"Item {chance.randrange(9)}",
                chance.choice(["", "1.50", "2.25"]),
                chance.choice(["", "CH", "DE"]),
            )
        )
    return csv_bytes(made, WIDE)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("rules", [{}, {"partial_orders": "reject"}, {"duplicates": "skip"}])
def test_shuffled_merges_change_nothing(driver: Driver, seed: int, rules: dict[str, Any]) -> None:
    content = messy_file(seed)
    outcomes = []
    for schedule in (Schedule(), Schedule(seed=seed, workers=2), Schedule(seed=seed + 100, workers=4)):
        empty_tables()
        certificate = driver.load(content, schedule=schedule, profile=profile_with(**rules))
        assert certificate["balanced"], certificate["problems"]
        assert certificate["chunks"] > 8
        outcomes.append((everything(), without_times(certificate)))
    assert outcomes[0][1] == outcomes[1][1] == outcomes[2][1]
    assert outcomes[0][0] == outcomes[1][0] == outcomes[2][0]


@pytest.mark.parametrize(
    "policy", ["update", *(pytest.param(policy, marks=pytest.mark.slow) for policy in ("skip", "error"))]
)
@pytest.mark.parametrize("seed", [1])
def test_shuffled_merges_over_existing_orders_change_nothing(driver: Driver, seed: int, policy: str) -> None:
    outcomes = []
    for schedule in (Schedule(), Schedule(seed=seed, workers=2), Schedule(seed=seed + 100, workers=4)):
        empty_tables()
        driver.load(messy_file(50, records=30))
        certificate = driver.load(messy_file(seed), schedule=schedule, profile=profile_with(on_conflict=policy))
        assert certificate["balanced"], certificate["problems"]
        outcomes.append((everything(), without_times(certificate)))
    assert outcomes[0][1] == outcomes[1][1] == outcomes[2][1]
    assert outcomes[0][0] == outcomes[1][0] == outcomes[2][0]


@pytest.mark.parametrize("seed", [10, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (11, 12))])
@pytest.mark.parametrize("duplicates", ["reject", pytest.param("skip", marks=pytest.mark.slow)])
def test_size_of_chunks_changes_nothing(driver: Driver, duplicates: str, seed: int) -> None:
    outcomes = []
    for target_bytes in (60, 300, 1 << 20):
        empty_tables()
        schedule = Schedule(target_bytes=target_bytes)
        certificate = driver.load(messy_file(seed), schedule=schedule, profile=profile_with(duplicates=duplicates))
        outcomes.append((facts(), certificate["loaded"], certificate["skipped"], certificate["errors"]))
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_users_that_swap_emails_between_chunks(driver: Driver) -> None:
    """The later chunk says that b has a's e-mail and a has b's: what the earlier records said stays."""
    header = ("order_id", "user_id", "sku", "quantity", "user_email")
    first = [("o1", "a", "i", 1, "a@example.com"), ("o2", "b", "i", 1, "b@example.com")]
    swapped = [
        ("o3", "b", "i", 1, "a@example.com"),
        ("o4", "a", "i", 1, "b@example.com"),
        ("o5", "c", "i", 1, "b@example.com"),
    ]
    for seed in seeds(6):
        empty_tables()
        certificate = driver.load(
            csv_bytes(first + swapped, header), schedule=Schedule(seed=seed, workers=3, target_bytes=20)
        )
        assert rows("SELECT id, email FROM accounts_user ORDER BY id") == [
            ("a", "a@example.com"),
            ("b", "b@example.com"),
        ]
        assert certificate["errors"] == {"duplicate_email": 1}
        assert certificate["loaded"] == 4


def test_order_of_interleaved_records_has_the_first_ones_header(driver: Driver) -> None:
    """Two orders take turns over the whole file; every chunk touches both."""
    header = ("order_id", "user_id", "sku", "quantity", "country")
    records = [(f"o{number % 2}", f"u{number % 2}", "i", number + 1, f"C{chr(65 + number)}") for number in range(24)]
    for seed in seeds(5):
        empty_tables()
        driver.load(csv_bytes(records, header), schedule=Schedule(seed=seed, workers=4, target_bytes=40))
        chunks = [
            (first - 1, first - 1 + count) for first, count in Chunk.objects.values_list("first_record", "records")
        ]
        assert len(chunks) > 6
        touched = [sum(any(number % 2 == one for number in range(*chunk)) for chunk in chunks) for one in (0, 1)]
        found = rows("SELECT id, country, version, import_record FROM orders_order ORDER BY id")
        assert found == [("o0", "CA", touched[0], 1), ("o1", "CB", touched[1], 2)]
        lines = rows("SELECT order_id, line_no, quantity FROM orders_orderline ORDER BY line_no")
        assert lines == [(f"o{number % 2}", number + 1, number + 1) for number in range(24)]


def test_earliest_of_records_with_the_same_line_number_wins(driver: Driver) -> None:
    header = ("order_id", "user_id", "sku", "quantity", "line_no")
    records = [("o1", "u", "i", quantity, 7) for quantity in range(1, 13)]
    for seed in seeds(6):
        empty_tables()
        certificate = driver.load(csv_bytes(records, header), schedule=Schedule(seed=seed, workers=3, target_bytes=24))
        assert Chunk.objects.count() > 4
        assert rows("SELECT line_no, quantity, record FROM orders_orderline") == [(7, 1, 1)]
        assert (certificate["loaded"], certificate["errors"]) == (1, {"duplicate_line": 11})
        assert [record for (record,) in rows("SELECT record FROM ingestion_reject ORDER BY 1")] == list(range(2, 13))
