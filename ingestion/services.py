"""Writes to imports: create or find again, pause, resume, cancel, fail. Called by commands, tasks and views alike."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import DurationField, ExpressionWrapper, F, FloatField, Max
from django.db.models.functions import Coalesce, Extract, Now

from ingestion import states
from ingestion.announcing import announce_end
from ingestion.errors import (
    ImportNotCancellableError,
    ImportNotFoundError,
    ImportNotPausableError,
    ImportNotResumableError,
    ParentNotUsableError,
)
from ingestion.job import Job
from ingestion.models import Chunk, Import, Source
from ingestion.profiles import Profile

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class PreparedSource:
    """
    One source, opened and understood.

    `descriptor` reopens it in any process (`ingestion.reader.Source`), `preface` is its bytes before the first record.
    """

    name: str
    descriptor: dict[str, Any]
    fingerprint: str
    identity: dict[str, int] | None
    dialect: dict[str, Any]
    settlement: dict[str, Any]
    evidence: dict[str, Any]
    preface: bytes


def import_find_or_create(
    *,
    sources: Sequence[PreparedSource],
    profile: Profile,
    parent_id: int | None = None,
    force: bool = False,
    created_by_id: str | None = None,
    now: datetime,
    import_id: int | None = None,
) -> tuple[Import, bool]:
    """
    The import of these bytes with these options: an earlier one of the same person if there is one, else a new one.

    A failed or cancelled import is never the same import, nor is one of somebody else, who may grant other roles.

    Args:
        parent_id: the import whose mended rejects these are: lines are added after those of the parent and its
            earlier children, and existing orders are always updated.
        force: make a new import even if there is a completed one.
        now: timezone-aware UTC.
        import_id: of a new import; None: the next one.
    Returns:
        (import, whether it is new).
    Raises:
        ParentNotUsableError: the parent did not complete.
    """
    fingerprint = fingerprint_of([source.fingerprint for source in sources])
    options_hash = options_hash_of(profile=profile, parent_id=parent_id)
    with transaction.atomic():
        serialise(f"{fingerprint}{options_hash}")
        known = None
        if import_id is None:
            known = (
                Import.objects.filter(fingerprint=fingerprint, options_hash=options_hash, created_by_id=created_by_id)
                .exclude(state__in=[states.FAILED, states.CANCELLED])
                .order_by("-id")
                .first()
            )
        # One that was interrupted is gone on with even when forced: that is what the same command means.
        if known is not None and (not force or known.state in states.RESUMABLE):
            return known, False
        created = Import.objects.create(
            id=import_id,
            state=states.QUEUED,
            profile=profile.name,
            options=profile.as_dict(),
            options_hash=options_hash,
            fingerprint=fingerprint,
            parent_id=root_of(parent_id),
            line_base=line_base_after(parent_id),
            created_by_id=created_by_id,
            created_at=now,
        )
        Source.objects.bulk_create(_source_row(created, number, source) for number, source in enumerate(sources))
    return created, True


def fingerprint_of(fingerprints: Sequence[str]) -> str:
    """The likeness of an import's bytes, from the likeness of each of its sources (`Source.fingerprint`)."""
    return hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()


def options_hash_of(*, profile: Profile, parent_id: int | None, dry_run: bool = False) -> str:
    """What an import is asked to do, in a form that is equal for equal wishes."""
    text = f"{profile.fingerprint()} parent={parent_id or 0}" + (" dry run" if dry_run else "")
    return hashlib.sha256(text.encode()).hexdigest()


def serialise(key: str) -> None:
    """Hold a lock of that name until the transaction ends: two callers must not both make the same import."""
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])


def root_of(parent_id: int | None) -> int | None:
    """
    Children of a child belong to the same root.

    Raises:
        ImportNotFoundError: there is no such import.
        ParentNotUsableError: it did not complete, or was a dry run.
    """
    if parent_id is None:
        return None
    parent = Import.objects.filter(pk=parent_id).first()
    if parent is None:
        raise ImportNotFoundError(import_id=parent_id)
    if parent.state not in states.SUCCEEDED or parent.dry_run:
        raise ParentNotUsableError(parent_id=parent_id, state="a dry run" if parent.dry_run else parent.state)
    return parent.parent_id or parent.pk


def line_base_after(parent_id: int | None) -> int:
    """A child numbers its lines after all records of its root and of the root's other children. Raises as `root_of`."""
    root = root_of(parent_id)
    if root is None:
        return 0
    # A statement of its own: the next one then sees a child that somebody made while we waited.
    serialise(f"family {root}")
    family = Import.objects.select_for_update().filter(pk=root) | Import.objects.select_for_update().filter(parent=root)
    base = 0
    # A dry run writes no lines.
    for member in family.exclude(dry_run=True).order_by("pk"):
        last = Chunk.objects.filter(owner=member).aggregate(last=Max(F("first_record") + F("records")))["last"] or 1
        # An unfinished member reserves room for what it has yet to plan.
        reserved = last - 1 if member.planned_at else max(last, 1 << 40)
        base = max(base, member.line_base + reserved)
    return base


def _source_row(owner: Import, number: int, source: PreparedSource) -> Source:
    return Source(
        owner=owner,
        number=number,
        name=source.name,
        descriptor=source.descriptor,
        dialect=source.dialect,
        settlement=source.settlement,
        evidence=source.evidence,
        preface=source.preface,
    )


def import_start(*, import_id: int, now: datetime) -> None:
    """
    Begin or go on with an import. One that runs already is joined.

    This is the bare change of state; what people ask for goes through `ingestion.control`, which wakes workers, too.

    Raises:
        ImportNotResumableError: it has ended.
    """
    changed = Import.objects.filter(pk=import_id, state__in=states.sources_of(states.RUNNING)).update(
        state=states.RUNNING, reason="", slowed_since=None
    )
    current = Import.objects.get(pk=import_id)
    if not changed and current.state != states.RUNNING:
        raise ImportNotResumableError(import_id=import_id, state=current.state)
    _note_start(import_id, now)
    # Attempts bound a run that cannot succeed; somebody who starts it again wants new ones.
    Chunk.objects.filter(owner_id=import_id, state__in=[states.PLANNED, states.CLAIMED]).update(attempts=0)
    Import.objects.filter(pk=import_id).exclude(step_attempts=0).update(step_attempts=0)


def import_begin_running(*, import_id: int, now: datetime) -> None:
    """
    A worker begins with what somebody started; nothing happens if it runs already or was stopped meanwhile.

    Args:
        now: timezone-aware UTC.
    """
    changed = Import.objects.filter(pk=import_id, state__in=[states.QUEUED, states.UPLOADING]).update(
        state=states.RUNNING, reason="", slowed_since=None
    )
    if changed:
        _note_start(import_id, now)


def _note_start(import_id: int, now: datetime) -> None:
    Import.objects.filter(pk=import_id, started_at=None).update(started_at=now)
    # The command measures on its own how long it works.
    Import.objects.filter(pk=import_id, running_since=None).exclude(queue="").update(running_since=now)


def import_pause(*, import_id: int, reason: str = "") -> None:
    """
    Stop for now: chunks being worked on are dropped, merged ones stay, starting again goes on.

    This is the bare change of state; what people ask for goes through `ingestion.control`.

    Args:
        reason: for people, when nobody asked for it (a full disk).
    Raises:
        ImportNotPausableError: it is not running.
    """
    changed = Import.objects.filter(pk=import_id, state__in=states.sources_of(states.PAUSED)).update(
        state=states.PAUSED,
        reason=reason,
        active_seconds=F("active_seconds") + _seconds_since_start(),
        running_since=None,
    )
    if changed != 1:
        raise ImportNotPausableError(import_id=import_id)


def _seconds_since_start() -> Coalesce:
    """Of a row's current run; 0 for imports of the command."""
    elapsed = ExpressionWrapper(Now() - F("running_since"), output_field=DurationField())
    return Coalesce(Extract(elapsed, "epoch"), 0.0, output_field=FloatField())


def import_cancel(*, import_id: int, now: datetime) -> None:
    """
    Stop for good; chunks already merged stay.

    This is the bare change of state; what people ask for goes through `ingestion.control`, which has somebody write
    the certificate, too.

    Args:
        now: timezone-aware UTC, given by the caller.
    Raises:
        ImportNotCancellableError: it has already ended.
    """
    changed = Import.objects.filter(pk=import_id, state__in=states.sources_of(states.CANCELLED)).update(
        state=states.CANCELLED, ended_at=now
    )
    if changed != 1:
        raise ImportNotCancellableError(import_id=import_id)


def import_fail(*, import_id: int, now: datetime, reason: str) -> bool:
    """
    End an import as failed; chunks already merged stay.

    Args:
        reason: for people: what happened and how to go on.
    Returns:
        False when it had ended already.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        changed = Import.objects.filter(pk=import_id, state__in=states.sources_of(states.FAILED)).update(
            state=states.FAILED, ended_at=now, reason=reason
        )
        if changed:
            announce_end(cursor, owner=Import.objects.get(pk=import_id))
    if changed:
        log.info("import_failed", import_id=import_id, reason=reason)
    return changed == 1


def job_of(owner: Import) -> Job:
    """The import as the stages see it."""
    return Job(
        import_id=owner.pk,
        profile=Profile.from_dict(owner.options),
        line_base=owner.line_base,
        upsert=owner.parent_id is not None,
        grantor_id=owner.created_by_id,
        replica_role=may_set_replica_role(),
    )


def may_set_replica_role() -> bool:
    """
    Whether this database role may switch off foreign-key triggers in a merge.

    Without it merges are slower: Postgres then checks every row on its own.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper OR (current_setting('server_version_num')::int >= 150000 "
            "AND has_parameter_privilege('session_replication_role', 'SET')) "
            "FROM pg_roles WHERE rolname = current_user"
        )
        return bool(cursor.fetchone()[0])
