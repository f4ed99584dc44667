"""Every error code a record can be rejected with, and what it means. Codes are never reused for something else."""

from __future__ import annotations

from typing import Final

STRUCTURE: Final = {
    "missing_columns": "The record has fewer columns than the header.",
    "too_many_columns": "The record has more columns than the header, and the surplus is not blank.",
    "unterminated_quote": "A quoted field does not end.",
    "stray_quote": "Something other than a delimiter follows a closing quote.",
    "record_too_long": "The record is longer than the reader accepts.",
    "invalid_encoding": "Bytes are not valid in the encoding of the file.",
    "nul_byte": "The record has a NUL byte.",
}
VALUES: Final = {
    "required": "The value is blank, but the record cannot be loaded without it.",
    "invalid_integer": "The value is not a whole number.",
    "invalid_decimal": "The value is not a number, or can be read as two different ones.",
    "too_precise": "The value has more decimals than can be stored; it is never rounded.",
    "out_of_range": "The value is a number or date, but not one that is possible or allowed here.",
    "invalid_datetime": "The value is not a date, not in a settled format, or names a time that does not exist.",
    "ambiguous_datetime": "The value can be read as two different times.",
    "invalid_email": "The value is not an e-mail address.",
    "invalid_choice": "The value is not one of the allowed ones.",
    "too_long": "The value has too many characters.",
    "control_character": "It has a control character (only names may hold line breaks and tabs) or a byte order mark.",
    "mangled_identifier": "A spreadsheet has turned the identifier into a number such as 1.23E+15.",
    "continuation_unknown": "The record continues one that could not be read, so its order is not known.",
}
DATABASE: Final = {
    "duplicate_email": "Another user already has this e-mail address.",
    "duplicate_line": "An earlier record has the same order id and line number.",
    "order_exists": "The order exists already and the import must not change it.",
    "partial_order": "Another record of the order was rejected, and the profile loads whole orders only.",
    "unknown_user": "There is no such user.",
    "unknown_role": "There is no such role.",
    "role_not_allowed": "A file may not grant this role here.",
    "protected_user": "The user can log in; a file may not change them.",
}
CODES: Final[dict[str, str]] = STRUCTURE | VALUES | DATABASE


class InvalidValue(Exception):
    """A value that cannot be loaded, with its code and a sentence that says why and how to mend it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
