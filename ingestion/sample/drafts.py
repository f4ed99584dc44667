"""A single record that is written on purpose, field by field."""

from collections.abc import Mapping
from dataclasses import dataclass

from ingestion.sample.spec import SampleSpec


@dataclass(frozen=True)
class Written:
    """
    The bytes of one record.

    Args:
        raw: with the terminator.
        column: name of the column that was tampered with; None if it is the record as a whole.
        value: what stands there, at most 200 characters; None if that is not text.
    """

    raw: bytes
    column: str | None = None
    value: str | None = None


@dataclass(frozen=True)
class Draft:
    """
    A flawless record with an order, a user and an item of its own, so that its fate touches no other record.

    Args:
        fields: the value of every known column.
        serial: how many records of the same kind came before it.
        known_item: sku and name of an item that clean records have, too.
    """

    spec: SampleSpec
    fields: Mapping[str, str]
    serial: int
    known_item: tuple[str, str]

    @property
    def text_column(self) -> str:
        """A column that takes any text."""
        return "item_name" if "item_name" in self.spec.columns else "sku"

    def cells(self, changes: Mapping[str, str] | None = None) -> list[str]:
        """The values in the order of the columns."""
        values = {**self.fields, **(changes or {})}
        return [values[name] for name in self.spec.columns]

    def line(self, changes: Mapping[str, str] | None = None, *, literal: Mapping[str, str] | None = None) -> str:
        """
        The record's text with its terminator.

        Args:
            changes: values that differ, by column.
            literal: text to put between the delimiters as it is, by column.
        """
        quoted = (self.quoted(cell) for cell in self.cells(changes))
        texts = {**dict(zip(self.spec.columns, quoted, strict=True)), **(literal or {})}
        return self.spec.delimiter.join(texts.values()) + self.spec.newline

    def quoted(self, value: str) -> str:
        """The value as RFC 4180 wants it under the file's quoting."""
        special = any(character in value for character in (self.spec.delimiter, '"', "\r", "\n"))
        if self.spec.quoting == "all" or (special and self.spec.quoting == "minimal"):
            return '"' + value.replace('"', '""') + '"'
        return value

    def written(self, column: str, value: str) -> Written:
        """The record with one value changed."""
        return Written(self.line({column: value}).encode(self.spec.codec), column, value[:200])
