"""The reader's rules once more, written one character at a time and for nothing but clarity: what the tests believe."""

from __future__ import annotations

from dataclasses import dataclass

from ingestion.reader.dialect import Dialect

SPACES = " \t\r\n\v\f\xa0"


@dataclass(frozen=True)
class Expected:
    """One record: its text, and either `row`, or `ignored`, or the `code` of its defect."""

    text: str
    line: int
    row: tuple[str, ...] | None = None
    ignored: str | None = None
    code: str | None = None


def records_of(text: str, dialect: Dialect, *, limit: int) -> list[Expected]:
    """All records of a text without invalid bytes."""
    found, pos, line = [], 0, dialect.body_line
    while pos < len(text):
        end, fields, code = _record(text, pos, dialect, limit)
        record = text[pos:end]
        found.append(_judged(record, line, fields, code, dialect))
        line += len(lines_of(record))
        pos = end
    return found


def lines_of(text: str) -> list[str]:
    """Physical lines with their ends: CRLF, LF or CR."""
    lines, start, pos = [], 0, 0
    while pos < len(text):
        if text.startswith("\r\n", pos):
            pos += 1
        if text[pos] in "\r\n":
            lines.append(text[start : pos + 1])
            start = pos + 1
        pos += 1
    return [*lines, text[start:]] if start < len(text) else lines


def _line_end(text: str, pos: int) -> tuple[int, int]:
    """Where the line's content ends, and where the next line begins."""
    while pos < len(text) and text[pos] not in "\r\n":
        pos += 1
    return pos, pos + (2 if text.startswith("\r\n", pos) else 1 if pos < len(text) else 0)


def _record(text: str, start: int, dialect: Dialect, limit: int) -> tuple[int, list[str], str | None]:
    content, first_line = _line_end(text, start)
    if content - start > limit:
        return first_line, [], "record_too_long"
    fields: list[str] = []
    pos, spanning = start, False
    while True:
        if dialect.quote and text.startswith(dialect.quote, pos):
            opening = pos
            value, pos = _quoted(text, pos + 1, dialect, start + limit)
            if pos < 0:
                return first_line, fields, "unterminated_quote"
            across = bool(set("\r\n") & set(text[opening:pos]))
            spanning = spanning or across
            while pos < len(text) and text[pos] in " \t" and text[pos] != dialect.delimiter:
                pos += 1
            if _line_end(text, pos)[0] - start > limit:
                return first_line, fields, "unterminated_quote"
            if pos < len(text) and text[pos] not in ("\r", "\n", dialect.delimiter):
                if across:
                    return first_line, fields, "unterminated_quote"
                return _line_end(text, pos)[1], fields, "stray_quote"
        else:
            value, pos = _unquoted(text, pos, dialect)
        fields.append(value)
        width = len(dialect.header)
        if spanning and len(fields) > width and (value.strip(" \t\r\n\v\f") or len(fields) > width + 64):
            return first_line, fields, "unterminated_quote"
        if pos >= len(text) or text[pos] in "\r\n":
            break
        pos += 1
    if spanning and len(fields) < len(dialect.header):
        return first_line, fields, "unterminated_quote"
    return _line_end(text, pos)[1], fields, None


def _quoted(text: str, pos: int, dialect: Dialect, limit: int) -> tuple[str, int]:
    assert dialect.quote
    value = ""
    while pos < min(len(text), limit):
        if dialect.escape and text[pos] == dialect.escape and pos + 1 < len(text):
            value += text[pos + 1]
            pos += 2
        elif text.startswith(dialect.quote * 2, pos):
            value += dialect.quote
            pos += 2
        elif text[pos] == dialect.quote:
            return value, pos + 1
        else:
            value += text[pos]
            pos += 1
    return value, -1


def _unquoted(text: str, pos: int, dialect: Dialect) -> tuple[str, int]:
    value = ""
    while pos < len(text) and text[pos] not in ("\r", "\n", dialect.delimiter):
        if text[pos] == dialect.escape and pos + 1 < len(text) and text[pos + 1] not in "\r\n":
            pos += 1
        value += text[pos]
        pos += 1
    return value, pos


def _judged(record: str, line: int, fields: list[str], code: str | None, dialect: Dialect) -> Expected:
    if code is None and "\0" in record:
        code = "nul_byte"
    if code is not None:
        return Expected(record, line, code=code)
    width, stripped = len(dialect.header), [field.strip(SPACES) for field in fields]
    if not any(stripped):
        return Expected(record, line, ignored="blank")
    if not any(stripped[width:]):
        fields, stripped = fields[:width], stripped[:width]
    if dialect.has_header and tuple(stripped) == dialect.header:
        return Expected(record, line, ignored="repeated_header")
    if len(fields) != width:
        return Expected(record, line, code="missing_columns" if len(fields) < width else "too_many_columns")
    return Expected(record, line, row=tuple(fields))
