"""What people keep in files is never replaced by what a command writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BAD = "order_id,user_id,sku,quantity\no1,u1,s1,1\no2,u2,s2,many\n"


def test_clean_refuses_to_write_over_its_input(manage: Any, tmp_path: Path) -> None:
    source = tmp_path / "orders.tsv"
    source.write_text(BAD.replace(",", "\t"))
    done = manage("preview_csv", str(source), "--clean", str(source))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert source.read_text() == BAD.replace(",", "\t")


def test_rejects_never_replace_a_source(manage: Any, tmp_path: Path) -> None:
    source = tmp_path / "failed.csv"
    source.write_text(BAD)
    done = manage("ingest_csv", str(source), "--rejects", str(tmp_path))
    assert done.returncode == 2
    assert "is a source" in done.stderr
    assert source.read_text() == BAD


def test_a_rejects_directory_that_is_a_file_is_told_before_anything_is_imported(manage: Any, tmp_path: Path) -> None:
    source = tmp_path / "orders.csv"
    source.write_text(BAD)
    done = manage("ingest_csv", str(source), "--rejects", str(source))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "No import is stalled" in manage("recover_imports", "--list").stdout


def test_mended_rejects_survive_the_same_command_and_lost_ones_come_back(manage: Any, tmp_path: Path) -> None:
    source, rejects = tmp_path / "orders.csv", tmp_path / "rejects"
    source.write_text(BAD)
    assert manage("ingest_csv", str(source), "--rejects", str(rejects)).returncode == 3
    mended = BAD.replace("many", "3")
    (rejects / "failed.csv").write_text(mended)
    assert manage("ingest_csv", str(source), "--rejects", str(rejects)).returncode == 3
    assert (rejects / "failed.csv").read_text() == mended
    for path in rejects.iterdir():
        path.unlink()
    assert manage("ingest_csv", str(source), "--rejects", str(rejects)).returncode == 3
    assert "many" in (rejects / "failed.csv").read_text()


def test_the_limit_also_counts_what_merges_refuse(manage: Any, connect: Any, tmp_path: Path) -> None:
    header = "order_id,user_id,sku,quantity,item_name\n"
    padding = "x" * 200
    source, wrong = tmp_path / "orders.csv", tmp_path / "wrong.csv"
    source.write_text(header + "".join(f"o{n},u{n % 100},s,1,{padding}\n" for n in range(60_000)))
    wrong.write_text(header + "".join(f"o{n},v{n % 100},s,1,{padding}\n" for n in range(60_000)))
    assert manage("ingest_csv", str(source)).returncode == 0
    done = manage("ingest_csv", str(wrong), "--on-conflict", "error", "--workers", "1")
    assert done.returncode == 1, done.stderr
    assert "max_error_ratio" in done.stdout
