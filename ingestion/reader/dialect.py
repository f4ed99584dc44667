"""How one CSV file is written: encoding, delimiter, quoting, header. Settled once, then stored with the import."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

from ingestion.reader.encoding import unit_bytes
from ingestion.reader.errors import InvalidDialect


@dataclass(frozen=True)
class Dialect:
    """
    Attributes:
        encoding: Python codec: utf-8, utf-16-le, utf-16-be, or a single-byte one such as cp1252, latin-1, mac-roman.
        delimiter: one ASCII character.
        quote: '"', "'" or None (no quoting).
        escape: None (quotes are doubled) or a backslash.
        newline: "\\n", "\\r\\n", "\\r" or "mixed"; informative only, the reader always accepts all three.
        header: column names as in the file, stripped, without trailing blank ones; its length is the number of columns.
        body_offset: decompressed bytes before the first record (byte order mark, preamble, header).
        body_line: physical line number (1-based) of the first record.
        preamble_lines: physical lines before the header.
        has_header: whether the names come from the file.
    """

    encoding: str
    delimiter: str
    quote: str | None
    escape: str | None
    newline: str
    header: tuple[str, ...]
    body_offset: int
    body_line: int
    preamble_lines: int
    has_header: bool

    def __post_init__(self) -> None:
        for name, text in (("delimiter", self.delimiter), ("quote", self.quote), ("escape", self.escape)):
            if text is not None and (len(text) != 1 or not text.isascii() or text in "\r\n\0"):
                raise InvalidDialect(f"The {name} must be one ASCII character, not {text!r}.")
        if self.delimiter in (self.quote, self.escape) or (self.quote is not None and self.quote == self.escape):
            raise InvalidDialect("Delimiter, quote and escape must differ from each other.")
        if not self.header:
            raise InvalidDialect("A dialect needs at least one column.")

    @property
    def columns(self) -> int:
        """Number of columns."""
        return len(self.header)

    @property
    def unit(self) -> int:
        """Bytes per code unit: 2 for UTF-16, else 1."""
        return unit_bytes(self.encoding)

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self) | {"header": list(self.header)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The opposite of `as_dict`."""
        return cls(**(data | {"header": tuple(data["header"])}))


@dataclass(frozen=True)
class DialectOverrides:
    """
    What a person or a profile settles beforehand; None means "find out".

    Attributes:
        quote, escape: an empty string means "none".
        header_row: physical line number (1-based) of the header.
        has_header: False when the first record is data.
        columns: names to use instead of those in the file (or where it has none).
    """

    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    header_row: int | None = None
    has_header: bool | None = None
    columns: tuple[str, ...] | None = None
