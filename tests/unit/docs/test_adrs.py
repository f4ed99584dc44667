"""Decisions are numbered without gaps, tell their status, and what code and documents cite is there."""

import re
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
FOLDER = CHECKOUT / "docs/adr"
ADRS = sorted(FOLDER.glob("*.md"))
CITED = re.compile(r"\bADRs? (\d+)((?:(?:, | and )\d+)*)")


def number(path: Path) -> int:
    return int(path.name.split("-")[0])


def test_they_are_numbered_without_gaps() -> None:
    assert [number(path) for path in ADRS] == list(range(1, len(ADRS) + 1))


def test_each_begins_with_its_number_and_its_status() -> None:
    for path in ADRS:
        title, *rest = path.read_text(encoding="utf-8").splitlines()
        assert title.startswith(f"# {number(path)}. "), path.name
        assert any(re.match(r"(?:- )?\*?\*?Status:?", line) for line in rest[:6]), path.name


def test_what_is_cited_is_there() -> None:
    there = {number(path) for path in ADRS}
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "*.py", "*.sql", "*.md", "*.toml", "*.yaml", "*.html"],
        cwd=CHECKOUT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    cited = {
        (name, int(cite))
        for name in filter(None, tracked)
        if (CHECKOUT / name).is_file()
        for first, more in CITED.findall((CHECKOUT / name).read_text(encoding="utf-8"))
        for cite in (first, *re.findall(r"\d+", more))
    }
    assert len({name for name, _ in cited}) > 5
    assert not {(name, cite) for name, cite in cited if cite not in there}
