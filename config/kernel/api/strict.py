"""
Serializer fields that take what the schema says and nothing like it: "2" is not a whole number, true is not 1, and an
unknown name is a mistake of the sender's, which is told instead of ignored.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Final

from django.core.validators import RegexValidator
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from config.kernel.fields import TEXT_KEY_LENGTH, TEXT_KEY_MESSAGE, TEXT_KEY_PATTERN

# The same as TEXT_KEY_PATTERN, as ECMA-262 writes it; U+0000 is refused for all texts.
DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})?", re.ASCII
)
TEXT_KEY_SCHEMA: Final = TEXT_KEY_PATTERN.replace(r"\A", "^").replace(r"\Z", "$").replace(r"\u0001", r"\u0000")


class StrictSerializer(serializers.Serializer[Any]):
    """
    Refuses names that it has no field for.

    A subclass may say in `immutable` why a name that readers see cannot be sent: {"user_id": "It never changes."}; in
    `one_of` that exactly one of these fields must be there, in `not_both` that at most one of these two may.
    """

    immutable: ClassVar[Mapping[str, str]] = {}
    one_of: ClassVar[Sequence[str]] = ()
    not_both: ClassVar[Sequence[str]] = ()

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            self._refuse_unknown(data)
            given = [name for name in self.one_of if name in data]
            if self.one_of and len(given) != 1:
                message = f"Give one of {', '.join(self.one_of)}, and only one."
                raise serializers.ValidationError({(given or self.one_of[:1])[-1]: [message]}, code="exclusive")
            if self.not_both and data.keys() >= {*self.not_both}:
                message = f"Give one of {', '.join(self.not_both)}, and only one."
                raise serializers.ValidationError({self.not_both[-1]: [message]}, code="exclusive")
        return super().to_internal_value(data)

    def _refuse_unknown(self, data: dict[str, Any]) -> None:
        known = {name for name, field in self.fields.items() if not field.read_only}
        errors = {
            name: [ErrorDetail(self.immutable[name], "immutable")]
            if name in self.immutable
            else [ErrorDetail("There is no such field.", "unknown_field")]
            for name in sorted(data.keys() - known)
        }
        if errors:
            raise serializers.ValidationError(errors)


class StrictSerializerExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Tells the schema."""

    target_class = "config.kernel.api.strict.StrictSerializer"
    match_subclasses = True
    priority = 1

    def map_serializer(self, auto_schema: Any, direction: Any) -> Any:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        if direction == "request":
            schema["additionalProperties"] = False
            if self.target.one_of:
                schema["oneOf"] = [{"required": [name]} for name in self.target.one_of]
            if self.target.not_both:
                schema["not"] = {"required": list(self.target.not_both)}
            for name, field in self.target.fields.items():
                if isinstance(field, serializers.ListSerializer):
                    schema["properties"][name] |= _bounds(field)
        return schema


def _bounds(field: Any) -> dict[str, int]:
    """Of a list of objects; drf-spectacular tells those of other lists only."""
    bounds = {"minItems": field.min_length, "maxItems": field.max_length}
    return {name: bound for name, bound in bounds.items() if bound is not None}


class TextField(serializers.CharField):
    """A JSON string, kept as it is, edges included."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("trim_whitespace", False)
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


@extend_schema_field({"type": "string", "minLength": 1, "maxLength": TEXT_KEY_LENGTH, "pattern": TEXT_KEY_SCHEMA})
class KeyField(TextField):
    """A natural text key (see `config.kernel.fields.TextKeyField`)."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("max_length", TEXT_KEY_LENGTH)
        super().__init__(**options)
        self.validators.append(RegexValidator(TEXT_KEY_PATTERN, TEXT_KEY_MESSAGE, code="invalid_key"))


class WholeNumberField(serializers.IntegerField):
    """A JSON number without a fraction."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int | float) or data != int(data):
            self.fail("invalid")
        return super().to_internal_value(int(data))


class FlagField(serializers.BooleanField):
    """true or false."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,13})(\.[0-9]{1,4})?$"},
            {"type": "number", "minimum": 0, "maximum": 10**14, "exclusiveMaximum": True, "multipleOf": 0.0001},
        ]
    }
)
class PriceField(serializers.DecimalField):
    """
    A price, zero or more, with at most 14 digits before and 4 after the point, as a JSON string or number; answered as
    a string, so that no reader rounds it. What has more decimals is refused, not rounded.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=18, decimal_places=4, min_value=Decimal(0), **options)

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, bool) or not isinstance(data, str | int | float):
            self.fail("invalid")
        if isinstance(data, str) and not DECIMAL.fullmatch(data):
            self.fail("invalid")
        value = super().to_internal_value(data)
        return abs(value) if value == 0 else value  # -0


class JsonObjectField(serializers.DictField):
    """A JSON object of at most `max_bytes` when written."""

    default_error_messages = {"too_long": "It has more than {max_bytes} bytes."}

    def __init__(self, *, max_bytes: int, **options: Any) -> None:
        self.max_bytes = max_bytes
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        if len(json.dumps(value)) > self.max_bytes:
            self.fail("too_long", max_bytes=self.max_bytes)
        return value


class MomentField(serializers.DateTimeField):
    """A date and time with its offset from UTC (RFC 3339); without one it could be anywhere."""

    default_error_messages = {"offset": "Give the offset from UTC, such as 2026-03-04T09:12:00Z."}

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str) or not MOMENT.fullmatch(value):
            self.fail("invalid", format="2026-03-04T09:12:00Z")
        if value[-1] not in "Zz" and value[-6] not in "+-":
            self.fail("offset")
        return super().to_internal_value(value)
