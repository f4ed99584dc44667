"""Records whose bytes are special: damaged, ignored, or merely awkward to read."""

from typing import Final

from ingestion.sample.drafts import Draft, Written

MAX_RECORD_BYTES: Final = 1 << 20
# What stands for invalid bytes until the rest of the record is encoded.
PLACEHOLDER: Final = "@BYTES@"
# A Czech pangram: its 15 letters with accents are proof enough that the file is meant to be UTF-8.
PROOF: Final = "Příliš žluťoučký kůň úpěl ďábelské ódy"
INVALID_BYTES: Final = {
    "utf-8": (b"\xe9", b"\xff", b"\xc3\x28"),
    "utf-16-le": (b"\x3d\xd8",),
    "utf-16-be": (b"\xd8\x3d",),
}


def missing_columns(draft: Draft) -> Written:
    """The last one or two fields are not there."""
    kept = [draft.quoted(cell) for cell in draft.cells()][: -1 - draft.serial % 2]
    return _whole(draft, draft.spec.delimiter.join(kept) + draft.spec.newline)


def too_many_columns(draft: Draft) -> Written:
    """One or two fields more than the header has."""
    surplus = ["surplus"] * (1 + draft.serial % 2)
    cells = [draft.quoted(cell) for cell in [*draft.cells(), *surplus]]
    return _whole(draft, draft.spec.delimiter.join(cells) + draft.spec.newline)


def stray_quote(draft: Draft) -> Written:
    """Text behind a closing quote."""
    return _literal(draft, draft.text_column, '"Stray"quote')


def unterminated_quote(draft: Draft) -> Written:
    """
    An opening quote without its partner; the next quote of the file, if any, is on a later line.

    Where every field is quoted, it is the last one: elsewhere the next field's quote would seem to close it.
    """
    column = draft.spec.columns[-1] if draft.spec.quoting == "all" else draft.text_column
    return _literal(draft, column, f'"{draft.fields[column]}')


def invalid_encoding(draft: Draft) -> Written:
    """Bytes that are no text in the file's encoding, among many that are: else a reader might take it for another."""
    column = draft.text_column
    choices = INVALID_BYTES[draft.spec.codec]
    raw = draft.line({column: f"{PROOF} {PLACEHOLDER}"}).encode(draft.spec.codec)
    placeholder = PLACEHOLDER.encode(draft.spec.codec)
    return Written(raw.replace(placeholder, choices[draft.serial % len(choices)]), column)


def nul_byte(draft: Draft) -> Written:
    """A NUL character within a field."""
    line = draft.line({draft.text_column: "Nul\0byte"})
    return Written(line.encode(draft.spec.codec), draft.text_column)


def record_too_long(draft: Draft) -> Written:
    """A line of more than 1 MiB, whatever the encoding."""
    line = draft.line(literal={draft.text_column: "x" * (MAX_RECORD_BYTES + 1)})
    return Written(line.encode(draft.spec.codec))


def blank(draft: Draft) -> Written:
    """By turns an empty line, one of spaces, and one of delimiters only, as spreadsheets leave them by the thousand."""
    delimiters = draft.spec.delimiter * (len(draft.spec.columns) - 1)
    return _whole(draft, ("", delimiters, "  ")[draft.serial % 3] + draft.spec.newline)


def repeated_header(draft: Draft) -> Written:
    """The header once more, as in concatenated files."""
    return _whole(draft, draft.spec.header())


def embedded_newline(draft: Draft) -> Written:
    """A quoted name that goes over two lines; in an identifier it would be an error."""
    return draft.written("item_name", f"Two{draft.spec.newline}lines {draft.serial}")


def doubled_quotes(draft: Draft) -> Written:
    """Quotes within a quoted field."""
    return draft.written(draft.text_column, f'The "{draft.serial}" lamp')


def quoted_delimiter(draft: Draft) -> Written:
    """A delimiter within a quoted field."""
    return draft.written(draft.text_column, f"Lamp{draft.spec.delimiter} white {draft.serial}")


def non_ascii(draft: Draft) -> Written:
    """Letters with accents, which every encoding here has."""
    return draft.written(draft.text_column, f"Café crème à la Zoë {draft.serial}")


def _whole(draft: Draft, line: str) -> Written:
    return Written(line.encode(draft.spec.codec))


def _literal(draft: Draft, column: str, text: str) -> Written:
    line = draft.line(literal={column: text})
    return Written(line.encode(draft.spec.codec), column, text[:200])
