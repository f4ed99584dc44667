"""Read and validate a chunk; touches the database only for continuation records."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import polars as pl
from django.db import connection

from config.kernel.sql import load_queries
from ingestion.job import Claim, Job
from ingestion.reader import Batch, ByteSource, SourceUnavailable, Span, read_span
from ingestion.validation import Carry
from ingestion.validation.records import UNKNOWN
from ingestion.worker.work import OpenSource, Work

queue_sql = load_queries("ingestion", "queue")


class SourceChangedError(Exception):
    """The file is not the one that was planned."""


class ChunkReader:
    """
    Reads chunks of one import.

    Args:
        sources: by number.
    """

    def __init__(self, *, job: Job, sources: Mapping[int, OpenSource]) -> None:
        self._job = job
        self.sources = sources

    def read(self, claim: Claim) -> Work:
        """
        Read and validate a chunk.

        Raises:
            SourceChangedError: the file is not the one that was planned.
        """
        origin = self.sources[claim.source]
        if origin.identity is not None and _identity(origin.source) != origin.identity:
            raise SourceChangedError(
                f"{origin.source.name} was changed, replaced or removed while it was being imported. "
                "What was merged stays; start a new import of the file as it is now."
            )
        batch = self.batch(claim)
        carry = self._carry_into(claim, origin)
        validated = origin.validator.validate(batch, carry=carry)
        frame = validated.frame.with_columns((pl.col("ordinal") + claim.first_record).alias("record"))
        return Work(claim=claim, batch=batch, frame=frame, errors=validated.errors, carry=carry)

    def batch(self, claim: Claim) -> Batch:
        """The records of a chunk, unvalidated."""
        origin = self.sources[claim.source]
        span = Span(
            number=claim.number,
            offset=claim.offset,
            length=claim.length,
            first_record=claim.first_record,
            records=claim.records,
            first_line=claim.first_line,
            lines=claim.lines,
            quoting=claim.quoting,
        )
        data = b"" if claim.quoting == "overlong" else origin.source.read(claim.offset, claim.length)
        return read_span(data, span=span, dialect=origin.dialect)

    def _carry_into(self, claim: Claim, origin: OpenSource) -> Carry | None:
        """
        The order columns of the record before this chunk, for continuation records.

        Found by reading chunks backwards until one settles it, so that any worker can do any chunk.
        """
        if not self._job.profile.rules.continuation:
            return None
        before = _chunk_before(claim)
        if before is None:
            return Carry()
        batch = self.batch(before)
        carry = origin.validator.carry_after(batch, carry=UNKNOWN)
        if carry.known:
            return carry
        # Either the chunk ends damaged, or it holds no order at all and hands on what it was given.
        return origin.validator.carry_after(batch, carry=self._carry_into(before, origin))


def _chunk_before(claim: Claim) -> Claim | None:
    with connection.cursor() as cursor:
        cursor.execute(
            queue_sql.chunk_before,
            {"import_id": claim.import_id, "number": claim.number, "source": claim.source},
        )
        row = cursor.fetchone()
    return None if row is None else Claim.unheld(row)


def _identity(source: ByteSource) -> Any:
    """None when the file is not there any more: that is no reason to try twenty times."""
    with suppress(SourceUnavailable):
        return source.identity()
    return None
