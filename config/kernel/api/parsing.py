"""
Request bodies in JSON: what RFC 8259 allows, Postgres can store, and two readers cannot read differently.

Refused, each with a 400 that says what: NaN and Infinity (also 1e999), a name given twice in one object, U+0000,
unpaired surrogates, other encodings than UTF-8, deep nesting. A body that is too large is refused with 413.
"""

import json
import math
from collections.abc import Mapping
from typing import IO, Any, ClassVar, Final, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from config.kernel.errors import ApplicationError

MAX_BODY_BYTES: Final = 8 << 20
MAX_DEPTH: Final = 64


class BodyTooLargeError(ApplicationError):
    code, status = "too_large", 413
    message = "A JSON body has at most {max_bytes} bytes."


class ExactNumber(float):
    """A JSON number with decimals that remembers how it was written, so that a price is not rounded on its way in."""

    __slots__ = ("written",)
    written: str

    def __str__(self) -> str:
        return self.written


class StrictJSONParser(BaseParser):
    """The API's parser of JSON bodies. Not a DRF JSONParser: for that the whole body is read first, however large."""

    media_type = "application/json"
    max_bytes: ClassVar[int] = MAX_BODY_BYTES

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        raw = stream.read(self.max_bytes + 1)
        if len(raw) > self.max_bytes:
            raise BodyTooLargeError(max_bytes=self.max_bytes)
        return parse_json(raw)


def parse_json(raw: bytes) -> Any:
    """
    Read one JSON text.

    Returns:
        as json.loads does, with `ExactNumber` for float.
    Raises:
        ParseError: it is not acceptable; the message says why.
    """
    try:
        value = json.loads(
            raw.decode("utf-8-sig"),
            parse_constant=_refuse_constant,
            parse_float=_exact_number,
            object_pairs_hook=_object,
        )
        _check(value, MAX_DEPTH)
    except UnicodeDecodeError:
        raise ParseError("The body is not UTF-8.") from None
    except RecursionError:
        raise ParseError(f"The JSON is nested more than {MAX_DEPTH} levels deep.") from None
    except ValueError as error:
        raise ParseError(f"The body is not JSON: {error}") from None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ParseError(f"{name} is not a JSON number.")


def _exact_number(text: str) -> ExactNumber:
    number = ExactNumber(text)
    if math.isinf(number):
        raise ParseError("A number is too large.")
    number.written = text
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ParseError(f"The name {name!a} is given twice in one object.")
        members[name] = value
    return members


def _check(value: Any, levels: int) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict | list):
        if levels == 0:
            raise ParseError(f"The JSON is nested more than {MAX_DEPTH} levels deep.")
        if isinstance(value, dict):
            for name in value:
                _check_text(name)
            value = list(value.values())
        for inner in value:
            _check(inner, levels - 1)


def _check_text(text: str) -> None:
    if text.isascii():
        if "\x00" in text:
            raise ParseError("A text contains U+0000, which cannot be stored.")
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ParseError("A text contains half of a surrogate pair, which is no character.") from None
    if "\x00" in text:
        raise ParseError("A text contains U+0000, which cannot be stored.")
