"""The chunk queue: claim, heartbeat, release, and whose turn it is. All state is in Postgres."""

import json
from typing import Final

from django.db import connection, transaction

from config.kernel.sql import load_queries
from ingestion.job import Claim, Job

queries = load_queries("ingestion", "queue")

LEASE_SECONDS: Final = 60
"""A claim not renewed for so long may be taken over; the holder's backend is ended first."""


class LeaseLostError(Exception):
    """Another worker holds the chunk now: whatever this one did since its claim must be thrown away."""


class ImportStoppedError(Exception):
    """The import is not running any more (paused, cancelled, failed): nothing may be committed."""


def chunk_claim(*, job: Job, worker: str, all_resolved: bool = False) -> Claim | None:
    """
    Claim the lowest chunk that nobody works on.

    Args:
        worker: a name for people (host and process).
        all_resolved: every chunk of the import is resolved (only matters when merges wait for that).
    Returns:
        the claim, or None when there is nothing to claim now.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(
            queries.chunk_claim,
            {
                "import_id": job.import_id,
                "worker": worker,
                "lease_seconds": LEASE_SECONDS,
                "two_passes": job.two_passes,
                "all_resolved": all_resolved,
            },
        )
        row = cursor.fetchone()
    if row is None:
        return None
    resolution = row[14] if isinstance(row[14], dict) else json.loads(row[14])
    values = (*row[:14], resolution)
    return Claim(*values)


def chunk_heartbeat(*, claim: Claim) -> bool:
    """Extend the lease; False when the chunk is no longer ours."""
    with connection.cursor() as cursor:
        cursor.execute(queries.chunk_heartbeat, {"id": claim.id, "token": claim.token, "lease_seconds": LEASE_SECONDS})
        return bool(cursor.rowcount == 1)


def chunk_release(*, claim: Claim, last_error: str = "", forgiven: bool = False) -> None:
    """
    Give a chunk back. Nothing happens if it is no longer ours.

    Args:
        last_error: what went wrong, for people.
        forgiven: the attempt does not count (a deadlock, a lost connection, a yielded turn).
    """
    with connection.cursor() as cursor:
        cursor.execute(
            queries.chunk_release,
            {"id": claim.id, "token": claim.token, "last_error": last_error, "forgiven": int(forgiven)},
        )


def unfinished_below(*, claim: Claim, resolved: bool) -> int | None:
    """The lowest chunk before this one that is not finished (`resolved`: not resolved); None: it is our turn."""
    with connection.cursor() as cursor:
        cursor.execute(
            queries.unfinished_below, {"import_id": claim.import_id, "number": claim.number, "resolved": resolved}
        )
        (number,) = cursor.fetchone()
    return None if number is None else int(number)


def chunk_is_abandoned(*, import_id: int, number: int) -> bool:
    """Whether nobody works on that chunk, so that it can be claimed at once."""
    with connection.cursor() as cursor:
        cursor.execute(queries.chunk_is_abandoned, {"import_id": import_id, "number": number})
        return bool(cursor.fetchone()[0])


def queue_status(*, import_id: int) -> tuple[str, bool, int, int]:
    """(state of the import, whether all is planned, chunks not finished, chunks not resolved)."""
    with connection.cursor() as cursor:
        cursor.execute(queries.queue_status, {"import_id": import_id})
        state, planned, unfinished, unresolved = cursor.fetchone()
    return state, planned, unfinished, unresolved
