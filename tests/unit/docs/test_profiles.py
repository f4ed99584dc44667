"""docs/profiles.md documents every option and field."""

import dataclasses
import re
from pathlib import Path

import pytest

from ingestion.profiles import Formats, Ids, Profile, Reading, Rules
from ingestion.profiles.fields import FIELDS

PROFILES = (Path(__file__).resolve().parents[3] / "docs" / "profiles.md").read_text(encoding="utf-8")


def _rows(title: str) -> dict[str, str]:
    """Of the table under a heading: the first column's name → the last column."""
    section = PROFILES.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    return dict(re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", section, flags=re.MULTILINE))


@pytest.mark.parametrize("section", [Reading, Ids, Formats, Rules], ids=lambda section: section.__name__.lower())
def test_every_option_is_explained(section: type) -> None:
    rows = _rows(f"[{section.__name__.lower()}]")
    options = {option.name: option.metadata["explains"] for option in dataclasses.fields(section)}
    assert rows.keys() == options.keys()
    assert [name for name, explains in options.items() if not rows[name].startswith(explains)] == []


def test_every_field_is_explained() -> None:
    assert _rows("Fields") == {field.name: field.explains for field in FIELDS.values()}


def test_the_example_is_a_profile() -> None:
    import tomllib

    example = PROFILES.split("```toml\n", 1)[1].split("```", 1)[0]
    assert Profile.from_mapping(tomllib.loads(example), source="docs/profiles.md").name == "webshop"
