"""Readers of text values. Each takes a trimmed, non-blank text and returns the stored value or raises InvalidValue."""

from __future__ import annotations

import re
from typing import Final

from ingestion.profiles.fields import MAX_COUNTRY_LENGTH, MAX_ID_LENGTH, MAX_NAME_LENGTH, STATUSES
from ingestion.validation.codes import InvalidValue

CONTROL: Final = "[\x00-\x1f\x7f-\x9f\ufeff]"
MANGLED: Final = r"[0-9](?:[.,][0-9]+)?[eE]\+[0-9]{2,3}"
MAX_EMAIL_LENGTH: Final = 254
_CONTROL: Final = re.compile(CONTROL)
_LAYOUT: Final = str.maketrans("\n\r\t", "   ")
_MANGLED: Final = re.compile(MANGLED)
_ATOM: Final = r"[\w!#$%&'*+/=?^`{|}~-]+"
_LABEL: Final = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_EMAIL: Final = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@(?:{_LABEL}\.)+(?![0-9]+\Z){_LABEL}")


def refuse_control(text: str) -> None:
    found = _CONTROL.search(text)
    if found is not None:
        name = {"\n": "a line break", "\r": "a line break", "\t": "a tab"}.get(found[0], f"U+{ord(found[0]):04X}")
        raise InvalidValue("control_character", f"It has {name} at character {found.start() + 1}; remove it.")


def refuse_long(text: str, limit: int) -> None:
    if len(text) > limit:
        raise InvalidValue("too_long", f"It has {len(text)} characters; at most {limit} are possible.")


def read_id(text: str, *, prefix: str, allow_scientific: bool) -> str:
    if not allow_scientific and _MANGLED.fullmatch(text):
        raise InvalidValue(
            "mangled_identifier",
            "A spreadsheet has turned this id into a number and lost its digits; export the column as text, "
            "or set ids.allow_scientific if the id is really written so.",
        )
    refuse_long(prefix + text, MAX_ID_LENGTH)
    refuse_control(text)
    return prefix + text


def read_name(text: str) -> str:
    """A name or description: line breaks and tabs inside it are kept, other control characters refused."""
    refuse_long(text, MAX_NAME_LENGTH)
    refuse_control(text.translate(_LAYOUT))
    return text


def read_raw(text: str) -> str:
    refuse_control(text)
    return text


def read_country(text: str) -> str:
    refuse_long(text, MAX_COUNTRY_LENGTH)
    refuse_control(text)
    return text.upper() if len(text) == 2 and text.isascii() and text.isalpha() else text


def read_currency(text: str) -> str:
    if not (len(text) == 3 and text.isascii() and text.isalpha()):
        raise InvalidValue("invalid_choice", 'A currency is given by its three letters, such as "EUR".')
    return text.upper()


def read_status(text: str) -> str:
    status = text.lower()
    if status not in STATUSES:
        raise InvalidValue("invalid_choice", f"A status is one of {', '.join(STATUSES)}.")
    return status


def read_email(text: str) -> str:
    """A pragmatic part of RFC 5321/6531: dot-atom local part, host with at least two labels, no quoted forms."""
    refuse_long(text, MAX_EMAIL_LENGTH)
    email = text.lower()
    match = _EMAIL.fullmatch(email)
    if match is None or len(match[1]) > 64 or len(email) > MAX_EMAIL_LENGTH:
        raise InvalidValue("invalid_email", "It is not an e-mail address such as name@example.com.")
    return email
