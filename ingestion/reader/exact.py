"""Reading records one by one: the definition of what a record means, whatever its state."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ingestion.reader.dialect import Dialect
from ingestion.reader.encoding import shadow
from ingestion.reader.records import Parsed, RecordParser

BLANK_TEXT = " \t\r\n\v\f\xa0"
VALUE_CHARACTERS = 200
_SUFFIX = re.compile(r" \(\d+\)$")


@dataclass(frozen=True)
class Defect:
    """
    Why a record could not be read.

    Attributes:
        ordinal: 0-based within the span.
        code: stable error code.
        message: what, where and how to mend it.
        column: 0-based, when one column is to blame.
        value: the offending text, cut to 200 characters.
    """

    ordinal: int
    code: str
    message: str
    column: int | None
    value: str | None


@dataclass(frozen=True)
class Judged:
    """One record: exactly one of `row`, `ignored` ("blank", "repeated_header") and `defects` is set."""

    row: list[str] | None = None
    ignored: str | None = None
    defects: tuple[Defect, ...] = ()


class ExactReader:
    """Judges the records of one span, given its original bytes and its shadow."""

    def __init__(self, data: bytes, shadowed: bytes, *, dialect: Dialect, parser: RecordParser) -> None:
        self._data = data
        self._shadow = shadowed
        self._dialect = dialect
        self._parser = parser
        self._unit = dialect.unit

    def judge(self, ordinal: int, start: int, stop: int) -> Judged:
        """The record at shadow offsets [start, stop)."""
        parsed = self._parser.parse(self._shadow, start, eof=True)
        if parsed.code is not None:
            return Judged(defects=(self._structural(ordinal, parsed, start, stop),))
        unreadable = self._unreadable(ordinal, parsed, start, stop)
        if unreadable:
            return Judged(defects=tuple(unreadable))
        return judge_row(ordinal, self._row(parsed, start, stop), dialect=self._dialect)

    def _row(self, parsed: Parsed, start: int, stop: int) -> list[str]:
        raw = self._data[start * self._unit : stop * self._unit]
        if self._unit == 1 and raw.isascii():
            text = raw.decode("ascii")
            cells = [(text[begin - start : end - start], quoted) for begin, end, quoted in parsed.fields]
        else:
            cells = [(self._text(begin, end), quoted) for begin, end, quoted in parsed.fields]
        return [plain_text(cell, quoted=quoted, dialect=self._dialect) for cell, quoted in cells]

    def _text(self, start: int, stop: int) -> str:
        return self._data[start * self._unit : stop * self._unit].decode(self._dialect.encoding)

    def _structural(self, ordinal: int, parsed: Parsed, start: int, stop: int) -> Defect:
        code, column = str(parsed.code), parsed.column
        begin = start
        if code == "stray_quote":
            begin = parsed.fields[-1][0] - 1
        elif column is not None and parsed.fields:
            begin = parsed.fields[column][0] - 1 if column < len(parsed.fields) else parsed.fields[-1][1]
        value = self._excerpt(begin, min(stop, begin + 4 * VALUE_CHARACTERS))
        return Defect(ordinal, code, structural_message(code, column, self._dialect, self._parser.limit), column, value)

    def _unreadable(self, ordinal: int, parsed: Parsed, start: int, stop: int) -> list[Defect]:
        found = []
        if 0 in self._shadow[start:stop]:
            column = self._column_of(parsed, self._shadow.find(b"\0", start))
            message = f"{_where(column)} has a NUL byte; remove it, or export the file again as text."
            found.append(Defect(ordinal, "nul_byte", message, column, self._field_excerpt(parsed, column)))
        raw = self._data[start * self._unit : stop * self._unit]
        try:
            raw.decode(self._dialect.encoding)
        except UnicodeDecodeError as error:
            column = self._column_of(parsed, start + error.start // self._unit)
            message = (
                f"{_where(column)}: byte 0x{raw[error.start]:02X} at byte {error.start} of the record is not valid"
                f" {self._dialect.encoding}; correct it, or load the file with the encoding it was written in."
            )
            found.append(Defect(ordinal, "invalid_encoding", message, column, self._field_excerpt(parsed, column)))
        return found

    @staticmethod
    def _column_of(parsed: Parsed, at: int) -> int:
        for column, (_, stop, _quoted) in enumerate(parsed.fields):
            if at <= stop:
                return column
        return len(parsed.fields) - 1

    def _field_excerpt(self, parsed: Parsed, column: int) -> str:
        start, stop, _ = parsed.fields[column]
        return self._excerpt(start, stop)

    def _excerpt(self, start: int, stop: int) -> str:
        raw = self._data[start * self._unit : stop * self._unit]
        text = raw.decode(self._dialect.encoding, "backslashreplace").rstrip("\r\n")
        return text.replace("\0", "\\x00")[:VALUE_CHARACTERS]


def fields_as_read(raw: bytes, *, dialect: Dialect) -> list[str]:
    """
    The fields of one record (`Batch.raw`), however many, without judging their number.

    Raises:
        UnicodeDecodeError: bytes invalid in the encoding.
        ValueError: the quoting is damaged.
    """
    parser = RecordParser(
        delimiter=dialect.delimiter, quote=dialect.quote, escape=dialect.escape, columns=None, limit=len(raw) + 1
    )
    parsed = parser.parse(shadow(raw, encoding=dialect.encoding), 0, eof=True)
    if parsed.code is not None:
        raise ValueError(parsed.code)
    unit = dialect.unit
    return [
        plain_text(raw[start * unit : stop * unit].decode(dialect.encoding), quoted=quoted, dialect=dialect)
        for start, stop, quoted in parsed.fields
    ]


def plain_text(text: str, *, quoted: bool, dialect: Dialect) -> str:
    """A field's text without doubled quotes and escapes."""
    if dialect.escape is not None and dialect.escape in text:
        return _unescaped(text, quoted, dialect.escape, dialect.quote)
    if quoted and dialect.quote is not None:
        return text.replace(dialect.quote * 2, dialect.quote)
    return text


def _unescaped(text: str, quoted: bool, escape: str, quote: str | None) -> str:
    doubled = f"|{re.escape(quote)}{re.escape(quote)}" if quoted and quote else ""
    pattern = re.compile(f"{re.escape(escape)}(?s:.){doubled}")
    return pattern.sub(lambda found: found.group()[1], text)


def judge_row(ordinal: int, row: list[str], *, dialect: Dialect) -> Judged:
    """What becomes of the fields of a record whose structure is sound."""
    stripped = [text.strip(BLANK_TEXT) for text in row]
    if not any(stripped):
        return Judged(ignored="blank")
    width = dialect.columns
    if len(row) > width and not any(stripped[width:]):
        row, stripped = row[:width], stripped[:width]
    if is_header(stripped, dialect=dialect):
        return Judged(ignored="repeated_header")
    if len(row) != width:
        return Judged(defects=(_wrong_width(ordinal, row, width),))
    return Judged(row=row)


def is_header(stripped: list[str], *, dialect: Dialect) -> bool:
    """Whether a record repeats the header line."""
    if not dialect.has_header or len(stripped) != dialect.columns:
        return False
    return all(text in accepted for text, accepted in zip(stripped, header_texts(dialect), strict=True))


@lru_cache(maxsize=64)
def header_texts(dialect: Dialect) -> list[tuple[str, ...]]:
    """What each header cell may look like in the file: names made up or made unique by `detect` are not in it."""
    return [
        (name, _SUFFIX.sub("", name), "") if name == f"column_{index}" else (name, _SUFFIX.sub("", name))
        for index, name in enumerate(dialect.header, start=1)
    ]


def _wrong_width(ordinal: int, row: list[str], width: int) -> Defect:
    if len(row) < width:
        message = (
            f"The record has {len(row)} of {width} columns; add what is missing, or quote a line break in a field."
        )
        return Defect(ordinal, "missing_columns", message, None, None)
    message = (
        f"The record has {len(row)} columns, {len(row) - width} more than the header; quote a field that contains the"
        " delimiter, or remove the surplus."
    )
    surplus = next(index for index in range(width, len(row)) if row[index].strip(BLANK_TEXT))
    return Defect(ordinal, "too_many_columns", message, surplus, row[surplus][:VALUE_CHARACTERS])


def _where(column: int | None) -> str:
    return "The record" if column is None else f"Column {column + 1}"


def structural_message(code: str, column: int | None, dialect: Dialect, limit: int) -> str:
    """Text for an error of quoting or length."""
    if code == "record_too_long":
        return f"The line is longer than {limit * dialect.unit:,} bytes; break it up, or look for missing line ends."
    if code == "stray_quote":
        doubled = f"{dialect.escape}{dialect.quote}" if dialect.escape else f"{dialect.quote}{dialect.quote}"
        return f"{_where(column)}: text follows the closing quote; write quotes inside a quoted field as {doubled}."
    return f"{_where(column)}: the quote that opens this field is not closed as it should be; close or remove it."
