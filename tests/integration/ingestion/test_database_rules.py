"""What the migrated schema promises, and what the pipeline's SQL expects of it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from itertools import count

import pytest
from django.db import DatabaseError, connection, transaction

from config.kernel.sql import load_queries
from ingestion.job import INTEGRITY_GATE

PACKAGES = {
    "ingestion": ("queue", "resolve", "merge", "certify", "progress", "recheck", "dryrun"),
    "orders": ("events", "orders"),
    "orders.outbox": ("append", "batches", "guard", "leases", "partitions", "selectors"),
    "reports": ("projection", "partitions", "metrics", "rebuild"),
}
LOADED = (
    "accounts_user",
    "orders_item",
    "orders_order",
    "orders_orderline",
    "accounts_rolemembership",
    "ingestion_reject",
)
INDEXES = {
    "accounts_user": {
        "accounts_user_pkey": "UNIQUE USING btree (id)",
        "accounts_user_email_key": "UNIQUE USING btree (email)",
        "accounts_user_name_id": (
            """USING btree (lower((name)::text) COLLATE "C", id) WHERE (NOT ((name)::text = ''::text))"""
        ),
        "accounts_user_country_id": "USING btree (country, id) WHERE (NOT ((country)::text = ''::text))",
    },
    "orders_item": {"orders_item_pkey": "UNIQUE USING btree (sku)"},
    "orders_order": {
        "orders_order_pkey": "UNIQUE USING btree (id)",
        "orders_order_user": "USING btree (user_id)",
        "orders_order_import": "USING brin (import_id) WITH (pages_per_range='32')",
        "orders_order_created": "USING brin (created_at) WITH (pages_per_range='32')",
        "orders_order_ordered": "USING brin (ordered_at) WITH (pages_per_range='32')",
    },
    "orders_orderline": {
        "orders_orderline_pkey": "UNIQUE USING btree (order_id, line_no)",
        "orders_orderline_import": "USING brin (import_id) WITH (pages_per_range='32')",
    },
}


def statements() -> Iterator[tuple[str, str]]:
    for package, files in PACKAGES.items():
        for file in files:
            for name, text in load_queries(package, file):
                yield f"{file}.{name}", text


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "text"), [pytest.param(*each, id=each[0]) for each in statements()])
def test_every_query_fits_the_schema(name: str, text: str) -> None:
    text = text.replace("{column}", "outcomes").replace("real.", "public.")
    text = text.replace("{events}", load_queries("orders.outbox", "append").given)
    for names, day in ((("{from}", "{start}"), "'2020-01-01'"), (("{to}", "{end}"), "'2020-01-02'")):
        for each in names:
            text = text.replace(each, day)
    if name.startswith("partitions.partition_"):
        text = text.replace("{partition}", "reports_history_20200101")
    made = name in ("partitions.create", "partitions.attach")
    text = text.replace("{partition}", "outbox_entry_20200101" if made else "outbox_entry_default")
    with transaction.atomic(), connection.cursor() as cursor:
        if name.startswith("merge.") and name != "merge.stage_create":
            cursor.execute(load_queries("ingestion", "merge").stage_create)
        if name.startswith("rebuild.") and name != "rebuild.rebuild_totals":
            cursor.execute(load_queries("reports", "rebuild").rebuild_totals)
        if name == "partitions.partition_attach":
            cursor.execute("CREATE TABLE reports_history_20200101 (LIKE reports_history INCLUDING ALL)")
        if name == "partitions.attach":
            cursor.execute("CREATE TABLE outbox_entry_20200101 (LIKE outbox_entry INCLUDING ALL)")
        for statement in filter(str.strip, re.sub(r"--.*", "", text).split(";")):
            # Each occurrence may have a type of its own: the driver writes the value out wherever it stands.
            numbers = count(1)
            prepared = re.sub(r"%\(\w+\)s", lambda _, numbers=numbers: f"${next(numbers)}", statement)  # type: ignore[misc]
            prepared = prepared.replace("%%", "%")
            if prepared.lstrip().upper().startswith(("ALTER", "CREATE", "LOCK", "DROP", "TRUNCATE")):
                cursor.execute(prepared)
            else:
                # A bare PREPARE leaves the types to the server, as a driver's placeholder does.
                cursor.execute(f"PREPARE one AS {prepared}")
                cursor.execute("DEALLOCATE one")
        transaction.set_rollback(True)


def test_gate_of_the_trigger_is_the_gate_of_the_merge() -> None:
    migration = importlib.import_module("accounts.migrations.0002_deletion_gate")
    keys = re.findall(r"pg_advisory_xact_lock\((\d+)\)", migration.FUNCTION)
    assert keys == [str(INTEGRITY_GATE)]


@pytest.mark.django_db
def test_no_deferrable_unique_constraint_on_loaded_tables() -> None:
    """Under session_replication_role = replica they silently accept duplicates."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE contype IN ('u', 'p', 'x') AND condeferrable"
            " AND (conrelid::regclass::text LIKE 'orders_%' OR conrelid::regclass::text LIKE 'accounts_%'"
            " OR conrelid::regclass::text LIKE 'ingestion_%' OR conrelid::regclass::text LIKE 'outbox_%')"
        )
        assert cursor.fetchall() == []


@pytest.mark.django_db
@pytest.mark.parametrize("table", INDEXES)
def test_loaded_tables_have_these_indexes_and_no_others(table: str) -> None:
    """Each further index costs every load; one that is missing costs every look-up."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", [table])
        found = {}
        for name, definition in cursor.fetchall():
            unique = "UNIQUE " if definition.startswith("CREATE UNIQUE") else ""
            found[re.sub(r"_[0-9a-f]{8}_uniq$", "_key", name)] = unique + definition[definition.index("USING") :]
    assert found == INDEXES[table]


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["origin", "replica"])
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM orders_order WHERE id = 'o1'",
        "DELETE FROM orders_item WHERE sku = 'i1'",
        "TRUNCATE orders_order, orders_orderline",
        "TRUNCATE orders_item CASCADE",
        "UPDATE orders_order SET id = 'o2'",
        "UPDATE orders_item SET sku = 'i2'",
    ],
)
def test_orders_and_items_cannot_be_removed(statement: str, role: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders_item (sku, name, created_at, updated_at) VALUES ('i1', '', now(), now())")
        cursor.execute(
            "INSERT INTO orders_order (id, status, country, currency, version, created_at, updated_at)"
            " VALUES ('o1', 'placed', '', '', 1, now(), now())"
        )
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SELECT set_config('session_replication_role', %s, true)", [role])
        with pytest.raises(DatabaseError, match="never removed"), transaction.atomic():
            cursor.execute(statement)
        cursor.execute("SELECT set_config('session_replication_role', 'origin', true)")
