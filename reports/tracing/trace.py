"""
Finding a record: its chunk by its number, its bytes in the file where they are still there, its order by these.

Nothing is scanned: a chunk is looked up by number and read once (at most 16 MiB), orders and events by key.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.db import connection

from config.kernel.keyset import QueryTooSlowError, statement_timeout
from config.kernel.sql import load_queries
from ingestion import states
from ingestion.job import Claim, Job
from ingestion.models import Chunk, Import, Reject, Source
from ingestion.reader import ReaderError
from ingestion.services import fingerprint_of, job_of
from ingestion.worker import open_for_work
from ingestion.worker.reading import ChunkReader
from orders.models import Order, OrderLine
from orders.outbox.models import Receipt
from reports.models import HistoryEntry
from reports.tracing.errors import RecordNotFoundError

queries = load_queries("reports", "lineage")

EVENTS_SHOWN: Final = 100
LOOK_MS: Final = 5_000
UPLOAD: Final = "upload"
"""In the descriptor of a source that was uploaded: its bytes never change."""
LOADED: Final = "loaded"
UNCHANGED: Final = "unchanged"
SKIPPED: Final = "skipped"


@dataclass(frozen=True)
class Told:
    """What the file itself says of a record; nothing where its bytes are gone."""

    line: int | None = None
    offset: int | None = None
    length: int | None = None
    raw: bytes | None = None
    ignored: bool = False
    order_id: str | None = None
    line_no: int | None = None


@dataclass
class Trace:
    """
    Attributes:
        chunk: the part of the file that has it.
        source: the file.
        raw: its original bytes; None: they are not there any more.
        outcome: as the certificate counts it; None: not settled yet.
        rejects: why it was rejected, error by error.
        order, order_line: what it became, as they are now.
        published: of the order's first version, if this import placed it: whether Kafka has acknowledged it; None:
            another import or somebody else placed the order.
        events: of the order, as they were read from Kafka (EVENT_HISTORY_DAYS), by version.
    """

    import_id: int
    record: int
    chunk: Chunk
    source: Source
    line: int | None = None
    offset: int | None = None
    length: int | None = None
    raw: bytes | None = None
    outcome: str | None = None
    rejects: list[Reject] = field(default_factory=list)
    order: Order | None = None
    order_line: OrderLine | None = None
    published: bool | None = None
    published_at: datetime | None = None
    events: list[HistoryEntry] = field(default_factory=list)


def record_trace(*, owner: Import, record: int) -> Trace:
    """
    What became of a record.

    Args:
        record: its number in the import; the first one is 1.
    Raises:
        RecordNotFoundError: the import has fewer, or none yet.
    """
    chunk = _chunk_of(owner, record)
    source = Source.objects.get(owner=owner, number=chunk.source)
    trace = Trace(import_id=owner.pk, record=record, chunk=chunk, source=source)
    job = job_of(owner)
    told = _told_by_file(owner, job, chunk, source, record)
    trace.line, trace.offset, trace.length, trace.raw = told.line, told.offset, told.length, told.raw
    trace.rejects = list(Reject.objects.filter(owner=owner, record=record).order_by("position"))
    if trace.rejects:
        _take_from_reject(trace, trace.rejects[0])
    elif not told.ignored:
        _find_order(trace, job, told)
    trace.outcome = _outcome(trace, job, told)
    if trace.order is not None:
        _find_events(trace, trace.order)
    return trace


def _chunk_of(owner: Import, record: int) -> Chunk:
    chunk = Chunk.objects.filter(owner=owner, first_record__lte=record).order_by("-number").first()
    if chunk is not None and record < chunk.first_record + chunk.records:
        return chunk
    if owner.dry_run:
        hint = "a dry run leaves none behind."
    elif owner.planned_at is None:
        hint = "it is not read that far yet."
    else:
        hint = "it has fewer; the first one is number 1."
    raise RecordNotFoundError(import_id=owner.pk, record=record, hint=hint)


# The file


def _told_by_file(owner: Import, job: Job, chunk: Chunk, source: Source, record: int) -> Told:
    """Reads the chunk again, as a worker does."""
    try:
        if not _is_the_same(owner, source):
            return Told()
        reader = ChunkReader(job=job, sources={source.number: open_for_work(source)})
        work = reader.read(_claim(chunk))
    except (ReaderError, OSError):
        return Told()
    ordinal = record - chunk.first_record
    place = work.batch.locate([ordinal])
    found = work.frame.filter(work.frame.get_column("record") == record)
    known = found.select("order_id", "line_no").row(0) if found.height else (None, None)
    return Told(
        line=int(place.line[0]),
        offset=int(place.offset[0]),
        length=int(place.length[0]),
        raw=work.batch.raw(ordinal) or None,
        ignored=any(ordinal in ordinals for ordinals in work.batch.ignored.values()),
        order_id=known[0],
        line_no=known[1],
    )


def _is_the_same(owner: Import, source: Source) -> bool:
    """Whether a file of this machine is still the one that was imported, by its quick fingerprint."""
    if UPLOAD in source.descriptor:
        return True
    rows = Source.objects.filter(owner=owner).order_by("number")
    found = [open_for_work(row).source.fingerprint() for row in rows]
    return None not in found and fingerprint_of([each for each in found if each]) == owner.fingerprint


def _claim(chunk: Chunk) -> Claim:
    return Claim.unheld(
        (
            chunk.pk,
            chunk.owner_id,
            chunk.number,
            chunk.source,
            chunk.offset,
            chunk.length,
            chunk.first_record,
            chunk.records,
            chunk.first_line,
            chunk.lines,
            chunk.quoting,
        )
    )


def _take_from_reject(trace: Trace, first: Reject) -> None:
    """It keeps what the record was, also when the file is gone."""
    trace.line, trace.offset, trace.length = first.line, first.offset, first.length
    if first.raw is not None:
        trace.raw = bytes(first.raw)


# The order


def _find_order(trace: Trace, job: Job, told: Told) -> None:
    if trace.chunk.state != states.DONE:
        return
    order_id, line_no = told.order_id, told.line_no
    if order_id is None:
        order_id, line_no = _look_without_file(trace, job)
    elif line_no is None:
        line_no = job.line_base + trace.record
    if order_id is None or line_no is None:
        return
    trace.order = Order.objects.filter(pk=order_id).first()
    trace.order_line = OrderLine.objects.filter(order_id=order_id, line_no=line_no).first()


def _look_without_file(trace: Trace, job: Job) -> tuple[str | None, int | None]:
    values = {
        "import_id": trace.import_id,
        "chunk": trace.chunk.number,
        "record": trace.record,
        "line_base": job.line_base,
        "merged_at": trace.chunk.merged_at,
    }
    try:
        with statement_timeout(LOOK_MS), connection.cursor() as cursor:
            cursor.execute(queries.order_of_record, values)
            row = cursor.fetchone()
    except QueryTooSlowError:
        return None, None
    return (None, None) if row is None else (row[0], row[1])


def _outcome(trace: Trace, job: Job, told: Told) -> str | None:
    """
    As the chunk counted it. A line that says it is of this record was loaded; of others the counts of the chunk, or
    else the policy, tell which of the outcomes it was.
    """
    if trace.rejects:
        return "rejected"
    if trace.chunk.state not in (states.DONE, states.STOPPED):
        return None
    if told.ignored:
        return "ignored"
    if trace.chunk.state == states.STOPPED:
        return "unprocessed"
    if _is_its_own(trace, job):
        return LOADED
    counted = [name for name in (LOADED, UNCHANGED, SKIPPED) if trace.chunk.outcomes.get(name)]
    if len(counted) == 1 and (told.raw is not None or not trace.chunk.outcomes.get("ignored")):
        return counted[0]
    if trace.order is None:
        return None
    if trace.order.import_id == trace.import_id:
        return SKIPPED if SKIPPED in counted else LOADED
    return SKIPPED if job.on_conflict == "skip" else UNCHANGED


def _is_its_own(trace: Trace, job: Job) -> bool:
    line = trace.order_line
    if line is None or line.import_id != trace.import_id:
        return False
    return (line.line_no - job.line_base if line.record is None else line.record) == trace.record


# Events


def _find_events(trace: Trace, order: Order) -> None:
    trace.events = list(HistoryEntry.objects.filter(order_id=order.pk).order_by("version")[:EVENTS_SHOWN])
    if order.import_id != trace.import_id or order.import_chunk is None:
        return
    source = f"import:{order.import_id}/{order.import_chunk}"
    # Receipts go together with what was acknowledged long ago.
    receipt = Receipt.objects.filter(source=source).first()
    trace.published = receipt is None or receipt.published_at is not None
    trace.published_at = None if receipt is None else receipt.published_at
