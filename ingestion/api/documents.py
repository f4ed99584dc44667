"""Imports, their rejects and chunks as the API shows them."""

import codecs
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from ingestion import states
from ingestion.models import Import, Source
from ingestion.standing import Standing, publishing_entry, standings, upload_entry

ACTIONS: Final = ("start", "pause", "resume", "cancel")
FILES: Final = {
    "preview": "preview",
    "rejects": "rejects",
    "failed": "failed.csv",
    "errors": "errors.csv",
    "unprocessed": "unprocessed.csv",
    "certificate": "certificate",
    "disagreements": "disagreements",
    "chunks": "chunks",
    "record": "records/{n}",
}
RAW_SHOWN_BYTES: Final = 4096
"""Of a rejected record's original bytes; failed.csv has all."""
CHILDREN_SHOWN: Final = 100


def import_url(import_id: int) -> str:
    """The path of an import."""
    return f"/imports/{import_id}"


def import_documents(owners: Sequence[Import], *, now: datetime) -> list[dict[str, Any]]:
    """Imports as a list shows them; `upload` is loaded with each."""
    found = standings(owners, now=now)
    return [_summary(owner, found[owner.pk]) for owner in owners]


def import_document(owner: Import, *, now: datetime) -> dict[str, Any]:
    """One import, with all there is to say about it."""
    standing = standings([owner], now=now)[owner.pk]
    sources = Source.objects.filter(owner=owner).order_by("number")
    children = Import.objects.filter(parent=owner, dry_run=False).order_by("pk").values_list("pk", flat=True)
    return {
        **_summary(owner, standing),
        "options": owner.options,
        "sources": [_source(source) for source in sources],
        "children": list(children[:CHILDREN_SHOWN]),
        "slowed_since": owner.slowed_since if owner.state == states.RUNNING else None,
        "publishing": publishing_entry(owner),
        "links": _links(owner),
    }


def _summary(owner: Import, standing: Standing) -> dict[str, Any]:
    return {
        "id": owner.pk,
        "state": owner.state,
        "reason": owner.reason,
        "profile": owner.profile,
        "upload": upload_entry(owner.upload),
        "created_by": owner.created_by_id,
        "created_at": owner.created_at,
        "started_at": owner.started_at,
        "ended_at": owner.ended_at,
        "dry_run": owner.dry_run,
        "while_uploading": owner.while_uploading,
        "parent": owner.parent_id,
        "duplicate_of": owner.duplicate_of_id,
        "progress": _progress(standing),
        "outcomes": standing.outcomes,
        "errors": standing.errors,
        # Children of a child belong to the root, which alone knows what is open.
        "open_rejects": standing.open_rejects if owner.parent_id is None and not owner.dry_run else None,
    }


def _progress(standing: Standing) -> dict[str, Any]:
    return {
        "bytes_done": standing.bytes_done,
        "bytes_total": standing.bytes_total,
        "records_done": standing.records_done,
        "records_total": standing.records_total,
        "chunks_done": standing.chunks_done,
        "chunks_planned": standing.chunks_planned,
        "bytes_per_second": _rounded(standing.bytes_per_second),
        "records_per_second": _rounded(standing.records_per_second),
        "eta_seconds": _rounded(standing.eta_seconds),
    }


def _rounded(number: float | None) -> int | None:
    return None if number is None else round(number)


def _source(source: Source) -> dict[str, Any]:
    return {
        "number": source.number,
        "name": source.name,
        "bytes": source.size_bytes,
        "sha256": source.sha256 or None,
        "records": source.records,
        "dialect": source.dialect,
        "settlement": source.settlement,
        "evidence": source.evidence,
    }


def _links(owner: Import) -> dict[str, str]:
    url = import_url(owner.pk)
    links = {"self": url} | {name: f"{url}/{path}" for name, path in FILES.items()}
    links |= {action: f"{url}/{action}" for action in ACTIONS}
    if owner.parent_id is not None:
        links["parent"] = import_url(owner.parent_id)
    if owner.duplicate_of_id is not None:
        links["duplicate_of"] = import_url(owner.duplicate_of_id)
    return links


def reject_document(row: dict[str, Any], *, names: dict[int, str], encodings: dict[int, str]) -> dict[str, Any]:
    """
    One error of one record.

    Args:
        row: of the columns of Reject, `raw_start` instead of `raw`: its first `RAW_SHOWN_BYTES`.
        names, encodings: of the sources, by number.
    """
    raw = row["raw_start"]
    text = None if raw is None else text_of_record(bytes(raw), encodings.get(row["source"], "utf-8"))
    return {
        "source": names.get(row["source"], ""),
        "record": row["record"],
        "line": row["line"],
        "byte_offset": row["offset"],
        "byte_length": row["length"],
        "column_number": row["column_number"],
        "column_name": row["column_name"] or None,
        "code": row["code"],
        "message": row["message"],
        "value": row["value"],
        "raw": text,
        "raw_complete": None if text is None else row["length"] <= RAW_SHOWN_BYTES,
    }


def text_of_record(raw: bytes, encoding: str) -> str | None:
    """The text of a record, perhaps cut off in the middle of a character; None: it is not valid in its encoding."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(raw, final=len(raw) < RAW_SHOWN_BYTES)
    except (UnicodeDecodeError, LookupError):
        return None
