"""Tiny random files, cut anywhere and merged in any order, against a plain reading record by record."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings, strategies as st

from tests.integration.ingestion.driving import Driver, Schedule, csv_bytes, empty_tables, profile_with, rows
from tests.integration.ingestion.model import COLUMNS, Model, Record
from tests.thorough import examples

RECORDS = st.tuples(
    st.sampled_from(["o1", "o2", "o3"]),
    st.sampled_from(["u1", "u2", "u3", "u4", ""]),
    st.sampled_from(["i1", "i2"]),
    st.sampled_from(["1", "2", "2", "5", "x"]),
    st.sampled_from(["", "", "1", "2", "3"]),
    st.sampled_from(["", "", "a@example.com", "b@example.com"]),
    st.sampled_from(["", "Tea", "Tin"]),
    st.sampled_from(["", "1.0000", "2.5000"]),
    st.sampled_from(["", "CH", "DE"]),
)
FILES = st.lists(RECORDS, min_size=1, max_size=14)
SCHEDULES = st.builds(
    Schedule, seed=st.integers(0, 999), workers=st.integers(1, 3), target_bytes=st.sampled_from([10, 60, 150, 1 << 20])
)
SETTINGS = settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@SETTINGS
@given(records=FILES, schedule=SCHEDULES, duplicates=st.sampled_from(["reject", "skip"]))
def test_pipeline_means_what_the_model_means(
    driver: Driver, records: list[Record], schedule: Schedule, duplicates: str
) -> None:
    model = Model(duplicates=duplicates)
    compare(driver, records, schedule, model)


@SETTINGS
@given(records=FILES, schedule=SCHEDULES)
def test_orders_with_a_refused_record_stay_out(driver: Driver, records: list[Record], schedule: Schedule) -> None:
    # A given line number told twice is found by the merge only, where other chunks may have merged already.
    unnumbered = [(*record[:4], "", *record[5:]) for record in records]
    compare(driver, unnumbered, schedule, Model(partial_orders="reject"))


def compare(driver: Driver, records: list[Record], schedule: Schedule, model: Model) -> None:
    empty_tables()
    model.load(records)
    profile = profile_with(duplicates=model.duplicates, partial_orders=model.partial_orders)
    certificate = driver.load(csv_bytes(records, COLUMNS), schedule=schedule, profile=profile)
    assert certificate["balanced"], certificate["problems"]
    assert dict(rows("SELECT id, coalesce(email, '') FROM accounts_user")) == model.users
    assert dict(rows("SELECT sku, name FROM orders_item")) == model.items
    assert {key: value for key, *value in rows("SELECT id, user_id, country FROM orders_order")} == {
        key: list(value) for key, value in model.orders.items()
    }
    lines = rows("SELECT order_id, line_no, item_id, quantity, coalesce(unit_price::text, '') FROM orders_orderline")
    assert {(order, number): tuple(rest) for order, number, *rest in lines} == model.lines
    assert dict(rows("SELECT record, code FROM ingestion_reject WHERE position = 0")) == model.errors
    counted = {name: certificate[name] for name in ("loaded", "skipped", "rejected") if certificate[name]}
    assert counted == {name: number for name, number in Counter(model.outcomes).items() if number}
