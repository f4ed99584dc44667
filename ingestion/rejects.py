"""Rejects of a chunk as rows: where each damaged or refused record stands, and its original bytes."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

import polars as pl
from django.db.backends.utils import CursorWrapper

from ingestion.copying import copy_frame
from ingestion.job import Claim
from ingestion.reader import Batch
from ingestion.validation import FieldError

RAW_LIMIT_BYTES: Final = 1 << 20
"""A longer record is not kept in the database; failed.csv takes it from the source while that is there."""


def errors_by_code(errors: Iterable[FieldError]) -> dict[str, int]:
    """How many errors there are of each code."""
    return dict(sorted(Counter(error.code for error in errors).items()))


def rejects_write(cursor: CursorWrapper, *, claim: Claim, batch: Batch, errors: list[FieldError]) -> int:
    """
    Write one row per error.

    Args:
        errors: of this chunk; each `ordinal` is an index into the chunk's records.
    Returns:
        the number of distinct records rejected.
    """
    if not errors:
        return 0
    errors = sorted(errors, key=lambda error: error.ordinal)
    ordinals = sorted({error.ordinal for error in errors})
    located = batch.locate(ordinals)
    places = {
        ordinal: (int(offset), int(length), int(line))
        for ordinal, offset, length, line in zip(ordinals, located.offset, located.length, located.line, strict=True)
    }
    frame = pl.DataFrame(
        _rows(claim, batch, errors, places),
        schema={
            "import_id": pl.Int64,
            "chunk": pl.Int64,
            "source": pl.Int64,
            "record": pl.Int64,
            "position": pl.Int64,
            "line": pl.Int64,
            "offset": pl.Int64,
            "length": pl.Int64,
            "column_number": pl.Int64,
            "column_name": pl.String,
            "code": pl.String,
            "message": pl.String,
            "value": pl.String,
            "raw": pl.String,
        },
        orient="row",
    )
    copy_frame(cursor, table="ingestion_reject", frame=frame)
    return len(ordinals)


def _rows(
    claim: Claim, batch: Batch, errors: list[FieldError], places: dict[int, tuple[int, int, int]]
) -> list[tuple[int | str | None, ...]]:
    rows: list[tuple[int | str | None, ...]] = []
    previous, position = -1, 0
    for error in errors:
        position = position + 1 if error.ordinal == previous else 0
        previous = error.ordinal
        offset, length, line = places[error.ordinal]
        rows.append(
            (
                claim.import_id,
                claim.number,
                claim.source,
                claim.first_record + error.ordinal,
                position,
                line,
                offset,
                length,
                error.column,
                _storable(error.column_name or "")[:255],
                error.code,
                _storable(error.message),
                None if error.value is None else _storable(error.value),
                _raw(batch, error.ordinal, length) if position == 0 else None,
            )
        )
    return rows


def _storable(text: str) -> str:
    """PostgreSQL's text cannot hold NUL; it is shown as U+2400."""
    return text.replace("\x00", "\u2400")


def _raw(batch: Batch, ordinal: int, length: int) -> str | None:
    return "\\x" + batch.raw(ordinal).hex() if length <= RAW_LIMIT_BYTES else None
