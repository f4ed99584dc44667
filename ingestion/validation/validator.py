"""The validator: the vectorised one for plain records, the exact one for the others, results in file order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ingestion.profiles.settlement import Settlement
from ingestion.validation.attributes import attributes
from ingestion.validation.continuation import Continuation
from ingestion.validation.exact import ExactValidator
from ingestion.validation.records import SCHEMA, START, Carry, FieldError, Validated, shown
from ingestion.validation.vectorised import Cleanliness, VectorisedValidator

if TYPE_CHECKING:
    from ingestion.reader.batch import Batch
    from ingestion.reader.exact import Defect


class Validator:
    """
    Turns the records of a batch into typed rows and errors.

    One validator serves all batches of an import in one process; it keeps only small caches between them.

    Args:
        vectorised: False sends every record through the exact validator: the same result, some 50 times slower.
    """

    def __init__(self, settlement: Settlement, *, vectorised: bool = True) -> None:
        self.settlement = settlement
        self._exact = ExactValidator(settlement)
        self._vectorised = VectorisedValidator(settlement) if vectorised else None
        self._continuation = Continuation(settlement) if settlement.rules.continuation else None

    def carry_after(self, batch: Batch, *, carry: Carry | None = None) -> Carry:
        """The carry that `validate` would give, without validating."""
        if self._continuation is None:
            return START
        damaged = [defect.ordinal for defect in batch.defects]
        return self._continuation.fill(batch.table, batch.ordinals, damaged, carry or START).carry

    def validate(self, batch: Batch, *, carry: Carry | None = None) -> Validated:
        """
        Validate all records of a span.

        Args:
            carry: what validation of the span before this one gave; None at the start of a file. Only profiles with
                continuation records look at it.
        """
        errors = [self._defect(defect) for defect in batch.defects]
        table, ordinals, after = batch.table, batch.ordinals, START
        if self._continuation is not None:
            damaged = [defect.ordinal for defect in batch.defects]
            filled = self._continuation.fill(table, ordinals, damaged, carry or START)
            table, after = filled.table, filled.carry
            if filled.unknown.any():
                errors += [self._unplaced(int(ordinal)) for ordinal in ordinals[filled.unknown]]
                table, ordinals = table.filter(pl.Series(~filled.unknown)), ordinals[~filled.unknown]
        # The batch says nothing of texts that continuation records inherit from the span before it.
        strange = batch.controls or not batch.ascii or self._continuation is not None
        clean = Cleanliness(edges=batch.padded or strange, controls=strange)
        frame, invalid = self._rows(table, ordinals, clean)
        if errors:
            invalid = sorted([*errors, *invalid], key=_position)
        return Validated(frame=frame, errors=invalid, carry=after)

    def order_ids_of(
        self,
        batch: Batch,
        ordinals: Sequence[int],
        *,
        carry: Carry | None = None,
        torn: Mapping[int, Sequence[str]] | None = None,
    ) -> list[str]:
        """
        To which orders rejected records belong, as far as that can be told.

        Args:
            carry: as for `validate`.
            torn: ordinal → fields of records that have no place in the batch's table (too few columns, say).
        """
        table = batch.table
        if self._continuation is not None:
            damaged = [defect.ordinal for defect in batch.defects]
            table = self._continuation.fill(table, batch.ordinals, damaged, carry or START).table
        width = len(self.settlement.header)
        rows = table.filter(pl.Series(np.isin(batch.ordinals, np.asarray(ordinals, dtype=np.int64)))).rows()
        rows += [(*fields[:width], *[""] * (width - len(fields))) for fields in (torn or {}).values()]
        found = (self._exact.read_field("order_id", row) for row in rows)
        return sorted({order_id for order_id in found if order_id})

    def _rows(
        self, table: pl.DataFrame, ordinals: np.ndarray, clean: Cleanliness
    ) -> tuple[pl.DataFrame, list[FieldError]]:
        numbers = pl.Series("ordinal", ordinals, dtype=pl.Int64)
        kept = self._attributes(table)
        if self._vectorised is None or not table.height:
            return self._check(table, numbers, kept)
        columns = self._vectorised.read(table, clean)
        plain = _frame(table.height, {"ordinal": numbers, **columns.values, **kept})
        if columns.doubtful is None:
            return plain, []
        doubtful = columns.doubtful
        rest = {name: values.filter(doubtful) for name, values in kept.items()}
        checked, errors = self._check(table.filter(doubtful), numbers.filter(doubtful), rest)
        plain = plain.filter(~doubtful)
        if checked.height:
            plain = pl.concat([plain, checked]).sort("ordinal")
        return plain, errors

    def _attributes(self, table: pl.DataFrame) -> dict[str, pl.Series]:
        names = self.settlement.attributes
        return {"attributes": attributes(table, names)} if names else {}

    def _check(
        self, table: pl.DataFrame, numbers: pl.Series, kept: Mapping[str, pl.Series]
    ) -> tuple[pl.DataFrame, list[FieldError]]:
        """Every record by the exact validator."""
        rows: list[dict[str, Any]] = []
        valid: list[bool] = []
        errors: list[FieldError] = []
        for ordinal, row in zip(numbers.to_list(), table.iter_rows(), strict=True):
            values, wrong = self._exact.check(ordinal, row)
            valid.append(not wrong)
            if wrong:
                errors += wrong
            else:
                rows.append(values)
        mask = pl.Series(valid, dtype=pl.Boolean)
        found = _typed(rows, [plan.name for plan in self._exact.plans])
        rest = {name: values.filter(mask) for name, values in kept.items()}
        return _frame(len(rows), {"ordinal": numbers.filter(mask), **found, **rest}), errors

    def _defect(self, defect: Defect) -> FieldError:
        header, column = self.settlement.header, defect.column
        name = header[column] if column is not None and column < len(header) else None
        number = None if column is None else column + 1
        value = None if defect.value is None else shown(defect.value)
        return FieldError(defect.ordinal, number, name, defect.code, defect.message, value)

    def _unplaced(self, ordinal: int) -> FieldError:
        column = self.settlement.column_of("order_id")
        name = "order_id" if column is None else self.settlement.header[column]
        message = "The record has no order id and continues a record that could not be read; give it its order id."
        number = None if column is None else column + 1
        return FieldError(ordinal, number, name, "continuation_unknown", message, "")


def _position(error: FieldError) -> tuple[int, int]:
    return error.ordinal, error.column or 0


def _typed(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, pl.Series]:
    return {name: pl.Series(name, [row.get(name) for row in rows], dtype=SCHEMA[name]) for name in names}


def _frame(height: int, columns: Mapping[str, pl.Series]) -> pl.DataFrame:
    """All columns of the schema; what has no column in the file is null."""
    return pl.DataFrame(
        [
            columns[name].alias(name)
            if name in columns
            else pl.repeat(None, height, dtype=dtype, eager=True).alias(name)
            for name, dtype in SCHEMA.items()
        ]
    )
