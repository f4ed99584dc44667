"""Plan: one sequential pass over a source finds record-safe chunks and its SHA-256; chunks start as they are found."""

import hashlib
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from ingestion import states
from ingestion.errors import SourceDiffersError
from ingestion.models import Chunk, Import, Source as SourceRow
from ingestion.opening import source_from_descriptor
from ingestion.reader import ByteSource, Dialect, Span, plan

CHUNK_BYTES: Final = 12 << 20
SMALLEST_CHUNK_BYTES: Final = 1 << 20
ARRIVING_CHUNK_BYTES: Final = 4 << 20
"""While a file is uploaded a chunk can begin only when its last byte is there: large ones come late."""
FLUSH_SECONDS: Final = 0.1
BLOCK_BYTES: Final = 1 << 20


class PlanStoppedError(Exception):
    """The import stopped running while it was being planned."""


def chunk_target(size: int | None, *, arriving: bool = False) -> Callable[[int], int]:
    """
    How long the chunk at an offset should be.

    Small ones at the beginning (a wrong mapping fails at once, every worker has something to do) and at the end (no
    worker waits long for the last one). Depends on nothing but the size of the source, so that the number of workers
    changes nothing in the result.

    Args:
        size: decompressed bytes; None when it is not known.
        arriving: whether it was planned while it was uploaded.
    """
    largest = ARRIVING_CHUNK_BYTES if arriving else CHUNK_BYTES

    def target(offset: int) -> int:
        rising = SMALLEST_CHUNK_BYTES + offset
        falling = largest if size is None else (size - offset) // 8
        return max(SMALLEST_CHUNK_BYTES, min(largest, rising, falling))

    return target


class Planner:
    """
    Plans all sources of an import, writing chunk rows as they are found.

    A planner that starts over (its process was killed) finds the same chunks again; rows that exist are compared.

    Args:
        running: asked now and then; False ends the planning.
        fence: called in every transaction before it writes; raises when somebody else is to plan now.
        planned: called after new chunks were committed.
        end: called when all is planned and stored, to set `planned_at` with whatever must be true by then.
    """

    def __init__(
        self,
        *,
        owner: Import,
        now: Callable[[], datetime],
        running: Callable[[], bool],
        fence: Callable[[CursorWrapper], None] = lambda _: None,
        planned: Callable[[], None] = lambda: None,
        end: Callable[[], None] | None = None,
    ) -> None:
        self._owner = owner
        self._now = now
        self._running = running
        self._fence = fence
        self._planned = planned
        self._end = end or self._note_planned
        self._number = 0
        self._first_record = 1
        self._pending: list[Chunk] = []
        self._flushed = 0.0

    def run(self) -> None:
        """
        Plan everything; what an earlier run planned is compared, byte for byte.

        Raises:
            PlanStoppedError: the import is not running any more.
            SourceDiffersError: the file is not the one that was planned before.
            ingestion.reader.ReaderError: a source cannot be read to its end.
        """
        for row in SourceRow.objects.filter(owner=self._owner).order_by("number"):
            self._plan_source(row)
        self._flush()
        self._end()

    def _note_planned(self) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            self._fence(cursor)
            Import.objects.filter(pk=self._owner.pk, planned_at=None).update(planned_at=self._now())

    def _plan_source(self, row: SourceRow) -> None:
        source = source_from_descriptor(row.descriptor, waiting=self._wait)
        dialect = Dialect.from_dict(row.dialect)
        digest = hashlib.sha256()
        first_record = self._first_record
        spans = plan(
            _digested(source, digest),
            dialect=dialect,
            target_bytes=chunk_target(source.size, arriving=self._owner.while_uploading),
            key_column=_key_column(row.settlement),
        )
        for span in spans:
            self._add(row, span)
        self._flush()
        if row.sha256 and row.sha256 != digest.hexdigest():
            raise SourceDiffersError(name=row.name, import_id=self._owner.pk, number=self._number - 1)
        row.sha256 = digest.hexdigest()
        row.size_bytes = source.size
        row.records = self._first_record - first_record
        with transaction.atomic(), connection.cursor() as cursor:
            self._fence(cursor)
            row.save(update_fields=["sha256", "size_bytes", "records"])

    def _wait(self) -> None:
        """The next bytes are not there yet: hand out what is planned, and look whether the import still runs."""
        self._flush()
        if not self._running():
            raise PlanStoppedError

    def _add(self, row: SourceRow, span: Span) -> None:
        chunk = Chunk(
            owner=self._owner,
            number=self._number,
            source=row.number,
            offset=span.offset,
            length=span.length,
            first_record=self._first_record,
            records=span.records,
            first_line=span.first_line,
            lines=span.lines,
            quoting=span.quoting,
            state=states.PLANNED,
        )
        self._pending.append(chunk)
        self._number += 1
        self._first_record += span.records
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        if not self._pending:
            return
        if not self._running():
            raise PlanStoppedError
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = off")
            self._fence(cursor)
            Chunk.objects.bulk_create(self._pending, ignore_conflicts=True)
        self._compare()
        self._pending = []
        self._planned()

    def _compare(self) -> None:
        """What stands in the table must be what was planned now."""
        names = ("source", "offset", "length", "first_record", "records", "quoting")
        numbers = [chunk.number for chunk in self._pending]
        stored = {
            values[0]: values[1:]
            for values in Chunk.objects.filter(owner=self._owner, number__in=numbers).values_list("number", *names)
        }
        for chunk in self._pending:
            if stored[chunk.number] != tuple(getattr(chunk, name) for name in names):
                name = SourceRow.objects.get(owner=self._owner, number=chunk.source).name
                raise SourceDiffersError(name=name, import_id=self._owner.pk, number=chunk.number)


def _digested(source: ByteSource, digest: Any) -> Iterator[bytes]:
    for block in source.blocks(BLOCK_BYTES):
        digest.update(block)
        yield block


def _key_column(settlement: dict[str, Any]) -> int | None:
    column = settlement.get("columns", {}).get("order_id")
    return column if isinstance(column, int) else None
