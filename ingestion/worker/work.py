"""What a worker holds: a source as it reads it, and a chunk on its way through the stages."""

import time
from dataclasses import dataclass
from typing import Any

import polars as pl

from ingestion.job import Claim
from ingestion.models import Source as SourceRow
from ingestion.opening import source_from_descriptor
from ingestion.profiles import Settlement
from ingestion.reader import Batch, ByteSource, Dialect
from ingestion.stages.resolve import without_ordinals
from ingestion.validation import Carry, FieldError, Validator


@dataclass(frozen=True)
class OpenSource:
    """One source as a worker reads it; `identity` is what it looked like when it was planned, None: do not compare."""

    source: ByteSource
    dialect: Dialect
    validator: Validator
    identity: Any


def open_for_work(row: SourceRow, *, identity: Any = None) -> OpenSource:
    """
    A stored source as a worker reads it.

    Args:
        identity: what the file looked like when the command opened it; None: do not compare.
    """
    return OpenSource(
        source=source_from_descriptor(row.descriptor),
        dialect=Dialect.from_dict(row.dialect),
        validator=Validator(Settlement.from_dict(row.settlement)),
        identity=identity,
    )


@dataclass
class Work:
    """A chunk on its way through the stages: its records, and the errors found so far."""

    claim: Claim
    batch: Batch
    frame: pl.DataFrame
    errors: list[FieldError]
    carry: Carry | None = None

    def reject(self, errors: list[FieldError]) -> None:
        """Take records out of the valid ones."""
        self.errors = self.errors + errors
        self.frame = without_ordinals(self.frame, {error.ordinal for error in errors})

    @property
    def ignored(self) -> dict[str, int]:
        """Ignored records by reason."""
        return {reason: len(ordinals) for reason, ordinals in self.batch.ignored.items() if len(ordinals)}

    @property
    def rejected(self) -> int:
        """How many records have errors."""
        return len({error.ordinal for error in self.errors})


class Stopwatch:
    """Durations of the steps of one chunk, for the log."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def lap(self, step: str) -> None:
        """Note how long the step took."""
        now = time.monotonic()
        self.seconds[f"{step}_seconds"] = round(now - self._last, 3)
        self._last = now
