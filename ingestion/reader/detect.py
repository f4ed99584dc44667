"""Finding out how a file is written, with reasons that a person can check."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ingestion.reader.charset import settle_encoding
from ingestion.reader.dialect import Dialect, DialectOverrides
from ingestion.reader.encoding import shadow
from ingestion.reader.errors import EmptySource, InvalidDialect, UnreadableHeader
from ingestion.reader.header import Head, column_names, find_head, numbered_names
from ingestion.reader.records import BLANKS, line_ends
from ingestion.reader.sniff import Candidate, Row, Sample, candidates, normalised

_SEPARATOR_LINE = re.compile(rb"\"?[sS][eE][pP]=([^\r\n])\"?(?:\r\n?|\n|$)")
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", '"': "double quote", "'": "apostrophe"}
_NEWLINES = {"\n": "LF", "\r\n": "CRLF", "\r": "CR", "mixed": "a mixture of CRLF, LF and CR"}


@dataclass(frozen=True)
class Detection:
    """
    Attributes:
        dialect: what was found.
        evidence: why: "encoding", "delimiter", "quote", "newline", "header" and where needed "preamble" → a sentence.
    """

    dialect: Dialect
    evidence: dict[str, str]


def detect(
    sample: bytes,
    *,
    complete: bool,
    overrides: DialectOverrides | None = None,
    more_samples: Sequence[bytes] = (),
    known_names: Collection[str] = (),
) -> Detection:
    """
    Args:
        sample: the first bytes of the decompressed file, up to 1 MiB.
        complete: that is the whole file.
        overrides: what is settled already.
        more_samples: bytes from later places, for the encoding only. They may begin and end inside a character, so
            three continuation bytes at the start prove nothing: begin well before a byte that is to be judged.
        known_names: column names that are expected; they make finding the header certain.
    Raises:
        EmptySource: there is nothing in it.
        UnreadableHeader: no header or first record was found in the sample.
        UnsupportedEncoding, InvalidDialect: what the overrides ask for is impossible.
    """
    overrides = overrides or DialectOverrides()
    encoding, mark, reason = settle_encoding([sample, *more_samples], wanted=overrides.encoding)
    taken = _sample(sample[mark:], encoding, complete)
    if not taken.shadow.strip(BLANKS):
        raise EmptySource("The file is empty.", hint="Export it again.")
    evidence = {"encoding": reason}
    separator = _SEPARATOR_LINE.match(taken.shadow)
    start = separator.end() if separator else 0
    if separator and overrides.delimiter is None:
        overrides = replace(overrides, delimiter=separator.group(1).decode("latin-1"))
        evidence["delimiter"] = "The first line says so (sep=)."
    if overrides.header_row is not None:
        start = _line_start(taken, overrides.header_row)
    known = {normalised(name) for name in known_names}
    return _assembled(taken, start, mark, overrides, known, evidence)


def _assembled(
    taken: Sample, start: int, mark: int, overrides: DialectOverrides, known: Collection[str], evidence: dict[str, str]
) -> Detection:
    unit = taken.unit
    rest = Sample(taken.data[start * unit :], taken.shadow[start:], taken.encoding)
    _check(overrides)
    best = candidates(rest, overrides, known)[0]
    rows = best.rows
    if not any(row.sound and not row.blank for row in rows):
        raise UnreadableHeader(
            "No header or first record was found at the start of the file.", hint="Check delimiter and quotes."
        )
    head = _head(rows, best, overrides, known)
    before = len(line_ends(taken.shadow, 0, start, eof=True)) if start else 0
    row = rows[head.index]
    body = row.end if head.has_header else row.start
    dialect = Dialect(
        encoding=taken.encoding,
        delimiter=best.delimiter,
        quote=_quote(best, overrides),
        escape=best.escape,
        newline=_newline(rest, rows),
        header=_names(rows, head, best.width, overrides),
        body_offset=mark + min((start + body) * unit, len(taken.data)),
        body_line=1 + before + row.line + (row.lines if head.has_header else 0),
        preamble_lines=before + row.line,
        has_header=head.has_header,
    )
    return Detection(dialect, _explained(dialect, best, head, before, evidence, overrides))


def _sample(data: bytes, encoding: str, complete: bool) -> Sample:
    """Without the last record when it may be cut off."""
    shadowed = shadow(data, encoding=encoding)
    if not complete:
        end = max(shadowed.rfind(b"\n"), shadowed[:-1].rfind(b"\r")) + 1
        shadowed = shadowed[:end] if end else shadowed
    unit = 2 if encoding.startswith("utf-16") else 1
    return Sample(data[: len(shadowed) * unit], shadowed, encoding)


def _line_start(taken: Sample, line: int) -> int:
    ends = line_ends(taken.shadow, 0, len(taken.shadow), eof=True)
    if line < 1 or line > len(ends):
        raise UnreadableHeader(f"There is no line {line} at the start of the file.", hint="Check the header row.")
    return int(ends[line - 2]) if line > 1 else 0


def _check(overrides: DialectOverrides) -> None:
    for name, text in (
        ("delimiter", overrides.delimiter), ("quote", overrides.quote), ("escape", overrides.escape),
    ):  # fmt: skip
        if text and (len(text) != 1 or not text.isascii() or text in "\r\n\0"):
            raise InvalidDialect(f"The {name} must be one ASCII character, not {text!r}.")
    if overrides.delimiter == "":
        raise InvalidDialect("The delimiter must be one ASCII character.")
    if overrides.columns is not None and not overrides.columns:
        raise InvalidDialect("At least one column name is needed.")


def _head(rows: Sequence[Row], best: Candidate, overrides: DialectOverrides, known: Collection[str]) -> Head:
    if overrides.header_row is not None and overrides.has_header is not False:
        if not rows[0].sound:
            raise UnreadableHeader(
                f"The header on line {overrides.header_row} cannot be read.", hint="Check its quotes."
            )
        return Head(0, True, f"The header is on line {overrides.header_row}, as told.")
    return find_head(rows, width=best.width, known=known, wanted=overrides.has_header)


def _names(rows: Sequence[Row], head: Head, width: int, overrides: DialectOverrides) -> tuple[str, ...]:
    if overrides.columns is not None:
        return overrides.columns
    if head.has_header:
        return column_names(rows[head.index].cells, body=rows[head.index + 1 :])
    return numbered_names(width, body=rows[head.index :])


def _quote(best: Candidate, overrides: DialectOverrides) -> str | None:
    return best.quote if overrides.quote is None else overrides.quote or None


def _newline(sample: Sample, rows: Sequence[Row]) -> str:
    """What ends the records, not what stands in quoted fields."""
    kinds = {_terminator(sample.shadow[: row.end]) for row in rows} - {""}
    return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else "\n"


def _terminator(data: bytes) -> str:
    return next((end for end in ("\r\n", "\n", "\r") if data[-2:].endswith(end.encode())), "")


def _explained(
    dialect: Dialect,
    best: Candidate,
    head: Head,
    before: int,
    evidence: dict[str, str],
    overrides: DialectOverrides,
) -> dict[str, str]:
    name = _NAMES.get(dialect.delimiter, repr(dialect.delimiter))
    share = f"{best.evenness:.0%} of the first {len(best.rows)} records"
    told = overrides.delimiter is not None and "delimiter" not in evidence
    reason = "As told." if told else evidence.get("delimiter") or f"{share} have {best.width} fields with it."
    reason = "No delimiter divides the records evenly: one column." if best.width == 1 and not told else reason
    explained = {
        "encoding": evidence["encoding"],
        "delimiter": f"{name}: {reason}",
        "quote": _quote_reason(dialect),
        "newline": f"Records end with {_NEWLINES[dialect.newline]}.",
        "header": head.reason.replace(f"Line {best.rows[head.index].line + 1} ", f"Line {dialect.preamble_lines + 1} "),
    }
    if dialect.preamble_lines:
        explained["preamble"] = f"The first {dialect.preamble_lines} lines stand before the table and are left out."
    return explained


def _quote_reason(dialect: Dialect) -> str:
    if dialect.quote is None:
        return "Nothing is quoted, as told."
    inside = "a backslash stands before" if dialect.escape else "they are doubled"
    return f"Fields may be quoted with the {_NAMES.get(dialect.quote, dialect.quote)}; inside a field, {inside}."
