"""PostgreSQL COPY text from and to columns."""

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import polars as pl
from django.db.backends.utils import CursorWrapper
from psycopg2 import sql

COPY_BUFFER_BYTES: Final = 1 << 20
NULL: Final = "\\N"
# What the COPY text format escapes (PostgreSQL manual, COPY, "Text Format"); the backslash must be first.
ESCAPES: Final = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


def escaped(frame: pl.DataFrame, *, plain: Collection[str] = ()) -> pl.DataFrame:
    """
    Escape the text columns that need it; most do not.

    Args:
        plain: columns known to need no escaping, which saves looking.
    """
    texts = [name for name, kind in frame.schema.items() if kind == pl.String and name not in plain]
    if not texts:
        return frame
    suspicious = frame.select(pl.col(texts).str.contains(r"[\\\t\n\r]").any()).row(0)
    replaced = []
    for name, dirty in zip(texts, suspicious, strict=True):
        if dirty:
            column = pl.col(name)
            for character, escape in ESCAPES:
                column = column.str.replace_all(character, escape, literal=True)
            replaced.append(column)
    return frame.with_columns(replaced) if replaced else frame


def copy_text(
    frame: pl.DataFrame, *, constants: Mapping[str, int | str | None] | None = None, plain: Collection[str] = ()
) -> bytes:
    """
    COPY text of a frame, one row a line.

    Args:
        constants: values that every row has; they follow the frame's columns and need no escaping.
        plain: see `escaped`.

    Timestamps are written as PostgreSQL would print them in UTC (`2025-01-31 08:00:00+00`), so that the same rows
    read back with `COPY … TO` give the same bytes.
    """
    stamps = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
    if stamps:
        frame = frame.with_columns(_stamp_text(frame, name) for name in stamps)
    frame = escaped(frame, plain=plain)
    if constants:
        # One column for all of them: each column costs as much as its text.
        tail = "\t".join(NULL if value is None else str(value) for value in constants.values())
        frame = frame.with_columns(pl.lit(tail).alias("\0constants"))
    out = io.BytesIO()
    frame.write_csv(out, separator="\t", include_header=False, quote_style="never", null_value=NULL)
    return out.getvalue()


def _stamp_text(frame: pl.DataFrame, name: str) -> pl.Expr:
    column = pl.col(name)
    seconds = column.dt.strftime("%Y-%m-%d %H:%M:%S")
    micro = frame.get_column(name).dt.microsecond()
    if not (micro > 0).any():
        return (seconds + "+00").alias(name)
    fraction = pl.concat_str(pl.lit("."), column.dt.strftime("%6f").str.strip_chars_end("0"))
    return (seconds + pl.when(column.dt.microsecond() > 0).then(fraction).otherwise(pl.lit("")) + "+00").alias(name)


def copy_in(cursor: CursorWrapper, *, table: str, columns: Sequence[str], text: bytes) -> None:
    """
    COPY text into a table.

    Args:
        table: unqualified name.
        text: COPY text whose columns are `columns`, see `copy_text`.
    Raises:
        django.db.IntegrityError: a constraint refused a row; the caller owns the savepoint.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with cursor.db.wrap_database_errors:
        cursor.cursor.copy_expert(statement, io.BytesIO(text), size=COPY_BUFFER_BYTES)


def copy_frame(
    cursor: CursorWrapper,
    *,
    table: str,
    frame: pl.DataFrame,
    constants: Mapping[str, int | str | None] | None = None,
    plain: Collection[str] = (),
) -> bytes:
    """
    COPY a frame into the table's columns of the same names.

    Args:
        constants: column → value that every row has.
        plain: columns known to need no escaping.
    Returns:
        the text that was sent.
    """
    text = copy_text(frame, constants=constants, plain=plain)
    if frame.height:
        copy_in(cursor, table=table, columns=[*frame.columns, *(constants or {})], text=text)
    return text


def copy_out(cursor: CursorWrapper, *, query: str, parameters: dict[str, Any]) -> bytes:
    """The rows of a query as CSV with a header (nulls and empty texts both empty): for `pl.read_csv`."""
    raw = cursor.cursor
    statement = raw.mogrify(query.rstrip().rstrip(";"), parameters).decode()
    out = io.BytesIO()
    with cursor.db.wrap_database_errors:
        raw.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT csv, HEADER true)", out)
    return out.getvalue()


def query_frame(cursor: CursorWrapper, *, query: str, parameters: dict[str, Any]) -> pl.DataFrame:
    """The rows of a query as a frame of texts (null becomes ""); quicker than row tuples for many rows."""
    text = copy_out(cursor, query=query, parameters=parameters)
    return pl.read_csv(text, infer_schema=False).fill_null("")


def sha256(text: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(text).hexdigest()


def joined(values: pl.Series) -> str:
    """Keys as one string for `string_to_array(…, E'\\x1f')`; keys hold no control characters."""
    return "\x1f".join(values.to_list())
