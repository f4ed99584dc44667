"""From parsed TOML or JSON to a Profile, with every problem named at once."""

from __future__ import annotations

import dataclasses
import difflib
import re
import string
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ingestion.profiles.definition import Formats, Ids, Profile, Reading, Rules
from ingestion.profiles.errors import Problem, ProfileError
from ingestion.profiles.fields import FIELDS, MAX_COUNTRY_LENGTH, STATUSES
from ingestion.profiles.options import prose

_SECTIONS: Final[dict[str, type[Any]]] = {"reading": Reading, "ids": Ids, "formats": Formats, "rules": Rules}
_KEYS: Final = ("name", "description", "mapping", "templates", "defaults", *_SECTIONS)
TEMPLATE_FIELDS: Final = ("order_id", "user_id", "sku")
DEFAULT_FIELDS: Final = ("country", "currency", "status", "user_country", "quantity")
_DEFAULTS: Final[dict[str, tuple[str, str]]] = {
    "country": (rf"\S(?:.{{0,{MAX_COUNTRY_LENGTH - 2}}}\S)?", "two letters or a name of at most 64 characters"),
    "user_country": (rf"\S(?:.{{0,{MAX_COUNTRY_LENGTH - 2}}}\S)?", "two letters or a name of at most 64 characters"),
    "currency": ("[A-Za-z]{3}", 'three letters such as "EUR"'),
    "status": ("|".join(STATUSES), "one of " + ", ".join(STATUSES)),
    "quantity": ("[1-9][0-9]{0,8}", "a whole number of at least 1"),
}


def closest(name: str, known: Iterable[str]) -> str:
    """A hint that names what was probably meant, or lists what there is."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else "there are: " + ", ".join(names)


def parse_profile(data: Mapping[str, Any], *, source: str) -> Profile:
    """
    Check and convert a whole profile.

    Raises:
        ProfileError: with all problems.
    """
    problems: list[Problem] = [
        Problem(str(key), "there is no such key", closest(str(key), _KEYS)) for key in data if key not in _KEYS
    ]
    values: dict[str, Any] = {"name": _name(data.get("name"), problems), "description": _description(data, problems)}
    for section, kind in _SECTIONS.items():
        values[section] = _section(_table(data, section, problems), section, kind, problems)
    values["mapping"], values["strict"] = _mapping(_table(data, "mapping", problems), problems)
    values["templates"] = _templates(_table(data, "templates", problems), values["mapping"], problems)
    values["defaults"] = _defaults(_table(data, "defaults", problems), problems)
    problems += _contradictions(values)
    if problems:
        raise ProfileError(source=source, problems=problems)
    return Profile(**values)


def _name(value: Any, problems: list[Problem]) -> str:
    if not isinstance(value, str) or not re.fullmatch("[a-z0-9][a-z0-9_-]{0,63}", value):
        problems.append(
            Problem("name", f"is {value!r}", "allowed: 1 to 64 lower-case letters, digits, - and _, as in my-shop")
        )
        return "invalid"
    return value


def _description(data: Mapping[str, Any], problems: list[Problem]) -> str:
    try:
        return prose(data.get("description", ""))
    except ValueError as error:
        problems.append(Problem("description", "is not usable", f"allowed: {error}"))
        return ""


def _table(data: Mapping[str, Any], section: str, problems: list[Problem]) -> Mapping[str, Any]:
    value = data.get(section, {})
    if isinstance(value, Mapping):
        return value
    problems.append(Problem(section, f"is {value!r}", f"allowed: a table, written as [{section}]"))
    return {}


def _section(table: Mapping[str, Any], section: str, kind: type[Any], problems: list[Problem]) -> Any:
    options = {field.name: field.metadata["check"] for field in dataclasses.fields(kind)}
    values = {}
    for key, value in table.items():
        path = f"{section}.{key}"
        if key not in options:
            problems.append(Problem(path, "there is no such option", closest(str(key), options)))
            continue
        try:
            values[key] = options[key](value)
        except ValueError as error:
            problems.append(Problem(path, f"is {value!r}", f"allowed: {error}"))
    return kind(**values)


def _mapping(table: Mapping[str, Any], problems: list[Problem]) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    mapping: dict[str, tuple[str, ...]] = {}
    for field in _known(table, "mapping", FIELDS, problems):
        value = table[field]
        names = [value] if isinstance(value, str) else [] if value is False else value
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name.strip() for name in names):
            allowed = "allowed: a column name, a list of them, or false for none"
            problems.append(Problem(f"mapping.{field}", f"is {value!r}", allowed))
            continue
        mapping[field] = tuple(name.strip() for name in names)
    return mapping, tuple(sorted(field for field in mapping if isinstance(table[field], str)))


def _known(table: Mapping[str, Any], section: str, known: Iterable[str], problems: list[Problem]) -> list[str]:
    names = list(known)
    problems += [
        Problem(f"{section}.{key}", "there is no such field here", closest(str(key), names))
        for key in table
        if key not in names
    ]
    return [key for key in table if key in names]


def _templates(table: Mapping[str, Any], mapping: Mapping[str, Any], problems: list[Problem]) -> dict[str, str]:
    templates = {}
    for field in _known(table, "templates", TEMPLATE_FIELDS, problems):
        value = table[field]
        if field in mapping:
            problems.append(Problem(f"templates.{field}", "the field is in [mapping] too", "keep one of the two"))
        elif not isinstance(value, str) or not template_parts(value):
            allowed = 'allowed: a text with column names in braces such as "{InvoiceNo}-{Country}"'
            problems.append(Problem(f"templates.{field}", f"is {value!r}", allowed))
        else:
            templates[field] = value
    return templates


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """(literal text, column name after it) pairs; [] when it is malformed, has blank edges or names no column."""
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError:
        return []
    if any(spec or conversion or name == "" for _, name, spec, conversion in parsed):
        return []
    parts = [(literal, name) for literal, name, _, _ in parsed]
    literal_text = "".join(literal for literal, _ in parts)
    edges_blank = template != template.strip()
    usable = any(name for _, name in parts) and (not literal_text or literal_text.isprintable()) and not edges_blank
    return parts if usable else []


def _defaults(table: Mapping[str, Any], problems: list[Problem]) -> dict[str, str]:
    defaults = {}
    for field in _known(table, "defaults", DEFAULT_FIELDS, problems):
        shape, allowed = _DEFAULTS[field]
        value = str(table[field]) if field == "quantity" else table[field]
        if not isinstance(value, str) or not value.isprintable() or not re.fullmatch(shape, value):
            problems.append(Problem(f"defaults.{field}", f"is {table[field]!r}", f"allowed: {allowed}"))
            continue
        defaults[field] = value
    return defaults


def _contradictions(values: Mapping[str, Any]) -> list[Problem]:
    problems = []
    formats, reading = values["formats"], values["reading"]
    if formats.decimal_separator and formats.decimal_separator in (formats.thousands_separators or ()):
        hint = f'"{formats.decimal_separator}" is the decimal separator already'
        problems.append(Problem("formats.thousands_separators", f"is {list(formats.thousands_separators)}", hint))
    if reading.has_header is False and not reading.columns:
        hint = "name them in file order"
        problems.append(Problem("reading.columns", "is missing, but the file has no header", hint))
    return problems
