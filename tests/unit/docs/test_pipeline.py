"""The drawings and tables of docs/pipeline.md say what the code says."""

import re
from pathlib import Path

from ingestion import states
from ingestion.validation.codes import CODES

PIPELINE = Path(__file__).resolve().parents[3] / "docs" / "pipeline.md"


def _drawn(number: int) -> set[tuple[str, str]]:
    """The transitions of the n-th state diagram."""
    diagrams = re.findall(r"stateDiagram-v2\n(.*?)```", PIPELINE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return set(re.findall(r"(\w+) --> (\w+)", diagrams[number]))


def _allowed(transitions: dict[str, frozenset[str]]) -> set[tuple[str, str]]:
    return {(state, target) for state, targets in transitions.items() for target in targets}


def test_the_drawing_of_imports_shows_every_transition() -> None:
    assert _drawn(0) == _allowed(states.TRANSITIONS)


def test_the_drawing_of_chunks_shows_every_transition() -> None:
    assert _drawn(1) == _allowed(states.CHUNK_TRANSITIONS)


def test_the_tables_list_every_error_code_with_its_meaning() -> None:
    section = PIPELINE.read_text(encoding="utf-8").split("## Error codes")[1].split("\n## ")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, flags=re.MULTILINE)) == CODES
