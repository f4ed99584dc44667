"""Corners that a review found: each lost something or failed an import before it was mended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def load(manage: Any, *arguments: str) -> dict[str, Any]:
    done = manage("ingest_csv", *arguments, "--json")
    assert "Traceback" not in done.stderr
    certificate: dict[str, Any] = json.loads(done.stdout)
    return certificate


def query(connect: Any, sql: str) -> list[tuple[Any, ...]]:
    with connect() as session, session.cursor() as cursor:
        cursor.execute(sql)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def test_a_dry_run_of_mended_rejects_meets_no_ids_of_real_rows(manage: Any, tmp_path: Path) -> None:
    source, mended = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_text("order_id,user_id,sku,quantity\no1,u1,s1,1\no1,u1,s2,many\n")
    mended.write_text("order_id,user_id,sku,quantity\no1,u1,s2,2\n")
    parent = str(load(manage, str(source))["import_id"])
    predicted = load(manage, str(mended), "--parent", parent, "--dry-run")
    done = load(manage, str(mended), "--parent", parent)
    assert (predicted["loaded"], predicted["lines_inserted"]) == (done["loaded"], done["lines_inserted"]) == (1, 1)


def test_two_users_updated_to_one_email_cost_one_record(manage: Any, connect: Any, tmp_path: Path) -> None:
    profile = tmp_path / "people.toml"
    profile.write_text('name = "people"\n[rules]\nupdate_people = true\non_conflict = "update"\n')
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("order_id,user_id,sku,quantity\no1,u1,s,1\no2,u2,s,1\n")
    second.write_text("order_id,user_id,sku,quantity,user_email\no3,u1,s,1,new@x.example\no4,u2,s,1,new@x.example\n")
    load(manage, str(first))
    certificate = load(manage, str(second), "--profile", str(profile))
    assert certificate["errors"] == {"duplicate_email": 1}
    assert query(connect, "SELECT id, email FROM accounts_user ORDER BY id") == [("u1", "new@x.example"), ("u2", None)]


def test_a_tab_in_a_quoted_id_of_a_tsv_costs_one_record(manage: Any, tmp_path: Path) -> None:
    source = tmp_path / "a.tsv"
    source.write_text('order_id\tuser_id\tsku\tquantity\n"o\t1"\tu1\ts\t1\n"o2"\tu1\ts\t1\n')
    certificate = load(manage, str(source))
    assert (certificate["loaded"], certificate["errors"]) == (1, {"control_character": 1})


def test_texts_that_a_continuation_inherits_are_escaped_and_trimmed(manage: Any, connect: Any, tmp_path: Path) -> None:
    profile = tmp_path / "continued.toml"
    profile.write_text('name = "continued"\n[rules]\ncontinuation = true\n')
    source = tmp_path / "a.csv"
    lines = "".join(f",,s{number},1,{'x' * 200}\n" for number in range(30_000))  # several chunks without an order id
    source.write_text("order_id,user_id,sku,quantity,item_name\nA\\B ,u\\1 ,s,1,y\n" + lines)
    certificate = load(manage, str(source), "--profile", str(profile))
    assert certificate["loaded"] == 30_001, certificate["reason"]
    assert certificate["chunks"] > 1
    assert query(connect, "SELECT id, user_id FROM orders_order") == [("A\\B", "u\\1")]


def test_staff_without_a_password_are_protected(manage: Any, connect: Any, tmp_path: Path) -> None:
    profile = tmp_path / "people.toml"
    profile.write_text('name = "people"\n[rules]\nupdate_people = true\n')
    source = tmp_path / "a.csv"
    source.write_text("order_id,user_id,sku,quantity,user_email\no1,boss,s,1,thief@x.example\n")
    with connect() as session, session.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_user (id, password, email, name, country, version, is_active, is_staff, is_superuser)"
            " VALUES ('boss', '!', 'boss@x.example', 'Boss', '', 1, true, true, false)"
        )
        session.commit()
    certificate = load(manage, str(source), "--profile", str(profile))
    assert certificate["errors"] == {"protected_user": 1}
    assert query(connect, "SELECT email FROM accounts_user WHERE id = 'boss'") == [("boss@x.example",)]
