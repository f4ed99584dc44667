"""The published schemas of events, and stricter ones for our own: there a field that nobody described is a mistake."""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker

FOLDER: Final = Path(__file__).resolve().parents[1] / "docs/events"
ORDER: Final = "order.v1"
IMPORT: Final = "import.v1"


@cache
def schema(name: str) -> dict[str, Any]:
    """A published schema: `ORDER` or `IMPORT`."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    return found


def validator(name: str) -> Draft202012Validator:
    """As a consumer would check."""
    return Draft202012Validator(schema(name), format_checker=FormatChecker())


@cache
def strict_validator(name: str) -> Draft202012Validator:
    """As we check ourselves: nothing that is not described. Consumers must not, because fields may be added."""
    return Draft202012Validator(_closed(copy.deepcopy(schema(name))), format_checker=FormatChecker())


def _closed(part: Any) -> Any:
    if isinstance(part, dict):
        for value in part.values():
            _closed(value)
        if "properties" in part:
            part.setdefault("additionalProperties", False)
    elif isinstance(part, list):
        for value in part:
            _closed(value)
    return part
