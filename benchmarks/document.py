"""docs/benchmarks.md: each benchmark replaces its own section."""

from pathlib import Path
from typing import Final

from benchmarks.databases import CHECKOUT

DOCUMENT: Final = CHECKOUT / "docs" / "benchmarks.md"
SKELETON: Final = """# Benchmarks

Written by `make bench`, `make bench-10gb`, `make bench-api` and `make bench-outbox`; text outside of the markers
is kept.

## Against the limit and against others

<!-- bench:start -->
<!-- bench:end -->

## 10 GB

<!-- bench-10gb:start -->
<!-- bench-10gb:end -->

## API

<!-- bench-api:start -->
<!-- bench-api:end -->

## The outbox

<!-- bench-outbox:start -->
<!-- bench-outbox:end -->
"""


class NoSuchSectionError(Exception):
    """The document has lost the markers of a section."""


def write_section(name: str, text: str, *, document: Path = DOCUMENT) -> None:
    """
    Put text between `<!-- NAME:start -->` and `<!-- NAME:end -->`.

    Raises:
        NoSuchSectionError: the document has no such markers.
    """
    content = document.read_text(encoding="utf-8") if document.exists() else SKELETON
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_text(replaced(content, name, text), encoding="utf-8")


def replaced(content: str, name: str, text: str) -> str:
    """The content with another section of that name."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    before, found, rest = content.partition(start)
    _, also_found, after = rest.partition(end)
    if not (found and also_found):
        raise NoSuchSectionError(f"the document needs a line {start} and, below it, a line {end}")
    return f"{before}{start}\n{text.strip()}\n{end}{after}"
