"""
A profile in JSON Schema (as OpenAPI 3.0 writes it), for the API's own schema. Whether options fit together, and whether
a time zone or a pattern of a date exists, is more than it can say; a test compares it with ingestion.profiles.
"""

import dataclasses
from typing import Any, Final

from ingestion.profiles import FIELDS, Formats, Ids, Reading, Rules
from ingestion.profiles.fields import MAX_COUNTRY_LENGTH, STATUSES
from ingestion.profiles.numberformats import GROUPING_SIGNS
from ingestion.profiles.parsing import TEMPLATE_FIELDS

Schema = dict[str, Any]

NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
NO_NUL: Final = r"^[^\u0000]*$"
# As Python sees white space; ECMA's \s is not quite the same.
_BLANKS: Final = "".join(f"\\u{code:04x}" for code in range(0x3001) if chr(code).isspace())
NOT_BLANK: Final = rf"^[^\u0000]*[^\u0000{_BLANKS}][^\u0000]*$"
TEXT: Final[Schema] = {"type": "string", "pattern": NO_NUL}
FLAG: Final[Schema] = {"type": "boolean"}
COLUMN: Final[Schema] = {"type": "string", "pattern": NOT_BLANK}


def _one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _whole(minimum: int) -> Schema:
    return {"type": "integer", "minimum": minimum}


def _text(maximum: int, minimum: int = 0) -> Schema:
    return {**TEXT, "minLength": minimum, "maxLength": maximum}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _maybe(schema: Schema) -> Schema:
    enum = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, **enum, "nullable": True}


OPTIONS: Final[dict[str, dict[str, Schema]]] = {
    "reading": {
        "encoding": _maybe(_one_of("utf-8", "utf-16-le", "utf-16-be", "cp1252", "latin-1", "mac-roman")),
        "delimiter": _maybe(_one_of(",", ";", "\t", "|")),
        "quote": _maybe(_one_of('"', "'", "")),
        "escape": _maybe(_one_of("\\", "")),
        "header_row": _maybe(_whole(1)),
        "has_header": _maybe(FLAG),
        "columns": _list(TEXT),
    },
    "ids": {
        "order_prefix": _text(32),
        "user_prefix": _text(32),
        "item_prefix": _text(32),
        "allow_scientific": FLAG,
    },
    "formats": {
        "date_formats": _list(TEXT),
        "day_first": _maybe(FLAG),
        "time_zone": TEXT,
        "repeated_time": _one_of("reject", "earlier", "later"),
        "decimal_separator": _maybe(_one_of(".", ",")),
        "thousands_separators": _maybe(_list(_one_of(*GROUPING_SIGNS))),
        "currency_signs": _maybe(_list(_text(8, 1))),
    },
    "rules": {
        "guests": _one_of("allow", "reject"),
        "returns": _one_of("allow", "reject"),
        "zero_prices": _one_of("allow", "reject"),
        "negative_prices": _one_of("allow", "reject"),
        "price_required": FLAG,
        "on_conflict": _one_of("skip", "update", "error"),
        "replace_lines": FLAG,
        "update_people": FLAG,
        "update_items": FLAG,
        "partial_orders": _one_of("load", "reject"),
        "duplicates": _one_of("reject", "skip"),
        "max_errors": _maybe(_whole(0)),
        "max_error_ratio": {"type": "number", "minimum": 0, "maximum": 1},
        "max_error_ratio_after": _whole(1),
        "unmapped": _one_of("drop", "attributes"),
        "continuation": FLAG,
        "synonyms": FLAG,
        "roles": _list(TEXT),
    },
}
KINDS: Final = {"reading": Reading, "ids": Ids, "formats": Formats, "rules": Rules}


def _object(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _section(name: str) -> Schema:
    explained = {field.name: field.metadata["explains"] for field in dataclasses.fields(KINDS[name])}
    return _object({key: {**schema, "description": explained[key]} for key, schema in OPTIONS[name].items()})


_COLUMNS: Final[Schema] = {
    "oneOf": [COLUMN, _list(COLUMN), {"type": "boolean", "enum": [False]}],
    "description": "a column, several of which the first that is there counts, or false: never",
}
SECTIONS: Final[dict[str, Schema]] = {
    "mapping": _object({name: {**_COLUMNS, "title": field.explains} for name, field in FIELDS.items()}),
    "templates": _object(
        {name: {**TEXT, "minLength": 3, "example": "{InvoiceNo}-{Country}"} for name in TEMPLATE_FIELDS}
    ),
    "defaults": _object(
        {
            "country": _text(MAX_COUNTRY_LENGTH, 1),
            "user_country": _text(MAX_COUNTRY_LENGTH, 1),
            "currency": {"type": "string", "pattern": "^[A-Za-z]{3}$"},
            "status": _one_of(*STATUSES),
            "quantity": {
                "oneOf": [
                    {"type": "integer", "minimum": 1, "maximum": 999_999_999},
                    {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"},
                ]
            },
        }
    ),
    **{name: _section(name) for name in OPTIONS},
}
DESCRIPTION: Final = _text(2000)
INLINE: Final = _object({"name": {"type": "string", "pattern": NAME}, "description": DESCRIPTION, **SECTIONS})
"""A whole profile inside another request; its name may be left out."""
