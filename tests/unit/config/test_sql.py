from pathlib import Path

import pytest

from config.kernel.sql import QueryFileError, load_queries

GOOD = """\
-- What this file is about; 100 % a comment.

-- name: first
-- Why it is so.
SELECT 1
-- a comment inside stays
FROM a;

-- name: second
SELECT 2
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = f"shop_{abs(hash(request.node.name))}"
    (tmp_path / name / "sql").mkdir(parents=True)
    (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def write(tmp_path: Path, package: str, file: str, content: str) -> None:
    (tmp_path / package / "sql" / file).write_text(content)


def test_queries_are_attributes(tmp_path: Path, package: str) -> None:
    write(tmp_path, package, "a.sql", GOOD)
    queries = load_queries(package)
    assert queries.first == "SELECT 1\n-- a comment inside stays\nFROM a;"
    assert dict(queries)["second"] == "SELECT 2"
    with pytest.raises(AttributeError, match="no query named 'third'"):
        _ = queries.third


def test_one_file_or_all(tmp_path: Path, package: str) -> None:
    write(tmp_path, package, "a.sql", "-- name: one\nSELECT 1")
    write(tmp_path, package, "b.sql", "-- name: two\nSELECT 2")
    assert [name for name, _ in load_queries(package, "b")] == ["two"]
    assert [name for name, _ in load_queries(package)] == ["one", "two"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("SELECT 1\n-- name: a\nSELECT 2", "before the first"),
        ("-- name: a\nSELECT 1\n-- name: a\nSELECT 2", "'a' is given twice"),
        ("-- name: a b\nSELECT 1", "not give a name"),
        ("-- name:\nSELECT 1", "not give a name"),
        ("-- name: a\n-- only words\n", "'a' is empty"),
    ],
)
def test_a_file_out_of_order_is_refused(tmp_path: Path, package: str, content: str, said: str) -> None:
    write(tmp_path, package, "bad.sql", content)
    with pytest.raises(QueryFileError, match=said) as caught:
        load_queries(package)
    assert "bad.sql" in str(caught.value)


def test_a_missing_file_is_named(package: str) -> None:
    with pytest.raises(QueryFileError, match=r"absent\.sql does not exist"):
        load_queries(package, "absent")
