"""Certify: an import ends only when its books balance; the certificate is signed and can be checked again."""

import hashlib
import json
from datetime import datetime
from typing import Any, Final

from django.core import signing
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from ingestion import states
from ingestion.announcing import announce_end
from ingestion.books import read_books
from ingestion.digests import line_digests, order_digests
from ingestion.models import Import, Source

queries = load_queries("ingestion", "certify")

SALT: Final = "sluice.certificate"
EMPTY_DIGEST: Final = hashlib.sha256().hexdigest()
FACTS: Final = (
    "users_inserted",
    "users_updated",
    "items_inserted",
    "items_updated",
    "orders_inserted",
    "orders_updated",
    "orders_continued",
    "lines_inserted",
    "lines_updated",
    "lines_deleted",
    "roles_granted",
    "user_disagreements",
    "item_disagreements",
    "order_disagreements",
)


def import_certify(*, import_id: int, now: datetime, active_seconds: float) -> dict[str, Any]:
    """
    Balance the books of an import and write its certificate; a running one ends here.

    An import that is complete but does not balance becomes `failed`. For one that was stopped (failed, cancelled)
    the certificate says what stayed and what was not processed.

    Args:
        active_seconds: time spent on it by this run; added to what earlier runs spent.
    Returns:
        the certificate.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        owner = Import.objects.select_for_update().get(pk=import_id)
        if owner.certificate is not None and owner.state in states.ENDED:
            return dict(owner.certificate)
        owner.active_seconds += active_seconds
        books = read_books(cursor, owner=owner)
        problems = find_imbalances(cursor, owner=owner, books=books)
        if owner.state == states.RUNNING:
            _end(owner, books=books, problems=problems, now=now)
            announce_end(cursor, owner=owner)
        if owner.state in states.ENDED:
            _complete_digests(cursor, owner=owner)
            cursor.execute(queries.import_scratch_clear, {"import_id": import_id})
        certificate = _certificate(cursor, owner=owner, books=books, problems=problems)
        if owner.state in states.ENDED:
            owner.certificate = certificate
            owner.signature = signing.dumps(certificate, salt=SALT, compress=True)
        owner.save()
    return certificate


def _end(owner: Import, *, books: dict[str, Any], problems: list[str], now: datetime) -> None:
    owner.ended_at = now
    if problems:
        owner.state = states.FAILED
        owner.reason = "The books do not balance: " + " ".join(problems)
    else:
        owner.state = states.COMPLETED_WITH_REJECTS if books["outcomes"]["rejected"] else states.COMPLETED


def find_imbalances(cursor: CursorWrapper, *, owner: Import, books: dict[str, Any]) -> list[str]:
    """
    What does not add up, as sentences; none: the books balance.

    Every record has one outcome, chunks cover every source without gap or overlap, and there is a reject for every
    rejected record.
    """
    where = {"import_id": owner.pk}
    problems = []
    total = sum(books["outcomes"].values())
    if total != books["records"]:
        problems.append(f"{books['records']:,} records were read but {total:,} have an outcome.")
    cursor.execute(queries.unbalanced_chunks, where)
    problems += [
        f"Chunk {number} has {records:,} records but {outcomes:,} outcomes."
        for number, records, outcomes in cursor.fetchall()
    ]
    cursor.execute(queries.gaps, where)
    problems += [f"Chunk {number} does not begin where the one before it ends." for (number,) in cursor.fetchall()]
    cursor.execute(queries.rejected_records, where)
    listed = cursor.fetchone()[0]
    if listed != books["outcomes"]["rejected"]:
        problems.append(f"{books['outcomes']['rejected']:,} records were rejected but {listed:,} are listed.")
    if owner.planned_at is not None:
        problems += _uncovered(cursor, owner)
    if owner.state == states.RUNNING and (books["unfinished_chunks"] or owner.planned_at is None):
        problems.append(f"{books['unfinished_chunks']:,} chunks are not finished.")
    return problems


def _uncovered(cursor: CursorWrapper, owner: Import) -> list[str]:
    cursor.execute(queries.source_ends, {"import_id": owner.pk})
    ends = {source: (first, last, records) for source, first, last, records in cursor.fetchall()}
    problems = []
    for source in Source.objects.filter(owner=owner):
        body = source.dialect["body_offset"]
        first, last, records = ends.get(source.number, (body, body, 0))
        if (first, last) != (body, source.size_bytes):
            problems.append(
                f"The chunks of {source.name} cover bytes {first:,} to {last:,} "
                f"instead of {body:,} to {source.size_bytes:,}."
            )
        if records != source.records:
            problems.append(f"{source.name} was planned with {source.records:,} records; its chunks have {records:,}.")
    return problems


def chunk_expectations(
    cursor: CursorWrapper, *, import_id: int
) -> tuple[list[tuple[int, int]], dict[int, dict[str, Any]]]:
    """
    (first record, number) of every chunk in file order, and each chunk's digests and facts by number.
    """
    cursor.execute(queries.chunk_bounds, {"import_id": import_id})
    rows = cursor.fetchall()
    bounds = [(first, number) for number, first, _, _ in rows]
    return bounds, {number: {"digests": _dict(digests), "facts": _dict(facts)} for number, _, digests, facts in rows}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else json.loads(value)


def _complete_digests(cursor: CursorWrapper, *, owner: Import) -> None:
    """Digest the rows of chunks that shared orders with other chunks, now that nothing changes any more."""
    bounds, chunks = chunk_expectations(cursor, import_id=owner.pk)
    wrote = {number for number, chunk in chunks.items() if chunk["facts"]}
    missing: dict[str, set[int]] = {
        kind: {number for number in wrote if kind not in chunks[number]["digests"]} for kind in ("orders", "lines")
    }
    if not any(missing.values()):
        return
    orders = order_digests(cursor, import_id=owner.pk)
    lines = line_digests(
        cursor, import_id=owner.pk, line_base=owner.line_base, bounds=bounds, changed_ids=orders.changed_ids
    )
    for kind, found in (("orders", orders), ("lines", lines)):
        # A row changed by somebody while the import still ran: that chunk cannot be vouched for.
        for number in sorted(missing[kind] - set(found.changed)):
            digest = found.digests.get(number, EMPTY_DIGEST)
            note: dict[str, Any] = {"import_id": owner.pk, "kind": kind, "number": number, "digest": digest}
            cursor.execute(queries.digest_note, note)


def _certificate(cursor: CursorWrapper, *, owner: Import, books: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    sources = list(Source.objects.filter(owner=owner).order_by("number"))
    seconds = owner.active_seconds
    certificate: dict[str, Any] = {
        "import_id": owner.pk,
        "state": owner.state,
        "reason": owner.reason,
        "balanced": not problems,
        "problems": problems,
        "profile": owner.profile,
        "options": owner.options,
        "parent": owner.parent_id,
        "line_base": owner.line_base,
        "sources": [_source_entry(source) for source in sources],
        "bytes": sum(source.size_bytes or 0 for source in sources) or books["bytes"],
        "sha256": _sha256(sources),
        "dialect": sources[0].dialect if sources else {},
        "records": books["records"],
        **books["outcomes"],
        "ignored_reasons": books["ignored"],
        "errors": books["errors"],
        **{name: books["facts"].get(name, 0) for name in FACTS},
        "chunks": books["chunks"],
        "started_at": _text(owner.started_at),
        "ended_at": _text(owner.ended_at),
        "seconds": round(seconds, 3),
        "records_per_second": round(books["records"] / seconds) if seconds else None,
        "bytes_per_second": round(books["bytes"] / seconds) if seconds else None,
    }
    if owner.state not in states.SUCCEEDED:
        certificate["stopped"] = _stopped(cursor, owner, sources)
    return certificate


def _source_entry(source: Source) -> dict[str, Any]:
    return {
        "name": source.name,
        "bytes": source.size_bytes,
        "sha256": source.sha256 or None,
        "records": source.records,
        "dialect": source.dialect,
        "settlement": source.settlement,
        "evidence": source.evidence,
    }


def _sha256(sources: list[Source]) -> str | None:
    """Of one source its own; of several the list's, in order."""
    known = [source.sha256 for source in sources]
    return known[0] or None if len(known) == 1 else None


def _stopped(cursor: CursorWrapper, owner: Import, sources: list[Source]) -> dict[str, Any]:
    """Where a stopped import stands: the first bytes that were not processed, and what resolved chunks left behind."""
    first = (
        owner.chunks.filter(state__in=[states.PLANNED, states.CLAIMED, states.STOPPED])
        .order_by("number")
        .values("number", "source", "offset", "first_line", "first_record")
        .first()
    )
    cursor.execute(queries.unmerged_entities, {"import_id": owner.pk})
    users, items = cursor.fetchone()
    names = {source.number: source.name for source in sources}
    return {
        "planned_completely": owner.planned_at is not None,
        "first_unprocessed": first and {**first, "name": names[first["source"]]},
        "users_left_behind": users,
        "items_left_behind": items,
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
