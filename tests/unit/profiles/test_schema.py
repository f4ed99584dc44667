"""The JSON Schema of profiles says what the code says: the same options, the same allowed values."""

import dataclasses
from typing import Any

import jsonschema
import pytest

from ingestion.api.profile_schema import INLINE, KINDS, OPTIONS, SECTIONS
from ingestion.profiles import FIELDS, Profile, ProfileError, builtin_names, load_profile
from ingestion.profiles.parsing import DEFAULT_FIELDS, TEMPLATE_FIELDS

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2.5, 0.5, "", "x", "utf-8", "reject", ",", " ", [], ["x"], [""], [1], {}, {"a": 1},
)  # fmt: skip


def nullable(schema: Any) -> Any:
    """OpenAPI 3.0 writes `nullable` where JSON Schema has a type null."""
    if isinstance(schema, list):
        return [nullable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: nullable(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") else plain


def allows(schema: Any, value: Any) -> bool:
    return bool(jsonschema.Draft4Validator(nullable(schema)).is_valid(value))


def accepted(data: dict[str, Any]) -> bool:
    try:
        Profile.from_mapping({"name": "x", **data}, source="x")
    except ProfileError:
        return False
    return True


ALL = [(section, name) for section, schemas in OPTIONS.items() for name in schemas]


def test_it_has_every_option() -> None:
    for section, kind in KINDS.items():
        assert list(OPTIONS[section]) == [field.name for field in dataclasses.fields(kind)]
    assert set(SECTIONS["mapping"]["properties"]) == set(FIELDS)
    assert set(SECTIONS["templates"]["properties"]) == set(TEMPLATE_FIELDS)
    assert set(SECTIONS["defaults"]["properties"]) == set(DEFAULT_FIELDS)


@pytest.mark.parametrize("name", builtin_names())
def test_it_allows_every_built_in_profile(name: str) -> None:
    jsonschema.validate(load_profile(name).as_dict(), nullable(INLINE), jsonschema.Draft4Validator)


@pytest.mark.parametrize(("section", "name"), ALL)
def test_what_it_forbids_is_refused(section: str, name: str) -> None:
    """Not the other way round: whether a pattern or a time zone exists is more than it can say."""
    schema = OPTIONS[section][name]
    forbidden = [value for value in ODD if not allows(schema, value)]
    assert forbidden
    assert [value for value in forbidden if accepted({section: {name: value}})] == []


@pytest.mark.parametrize(("section", "name"), ALL)
def test_every_value_that_it_lists_is_accepted(section: str, name: str) -> None:
    for value in OPTIONS[section][name].get("enum", []):
        assert accepted({section: {name: value}})


@pytest.mark.parametrize("section", ["mapping", "templates", "defaults"])
def test_so_it_is_with_fields(section: str) -> None:
    for name, schema in SECTIONS[section]["properties"].items():
        forbidden = [value for value in (*ODD, [" "], " ") if not allows(schema, value)]
        assert forbidden
        assert [value for value in forbidden if accepted({section: {name: value}})] == []


def test_names_that_do_not_exist_are_refused_by_both() -> None:
    wrong: list[dict[str, Any]] = [{"rule": {}}, {"rules": {"guest": "allow"}}, {"mapping": {"x": "y"}}]
    for data in wrong:
        assert not allows(INLINE, data)
        assert not accepted(data)
