"""The same bytes with the same options again: told by the quick fingerprint, made certain by SHA-256."""

import hashlib
from collections.abc import Callable

import structlog
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from ingestion import states
from ingestion.clock import utc_now
from ingestion.models import Chunk, Import, Source as SourceRow
from ingestion.reader import ByteSource
from ingestion.steps.claims import StepClaim, held_for_update, hold

log = structlog.get_logger(__name__)


def originals(owner: Import, *, fingerprint: str) -> list[Import]:
    """
    Earlier imports of the same person that ask for the same and look alike, with all their bytes read; the first first.

    Only earlier ones: of two that run at once exactly one is the other's duplicate.
    """
    if owner.forced:
        return []
    return list(_alike(owner, fingerprint=fingerprint).filter(pk__lt=owner.pk))


def original_of(candidates: list[Import], *, sha256: str) -> Import | None:
    """The candidate whose one source has this SHA-256 (of decompressed bytes)."""
    return next((candidate for candidate in candidates if _is_of(candidate, sha256)), None)


def mark_later(claim: StepClaim, owner: Import, *, fingerprint: str, sha256: str) -> None:
    """
    Mark later imports of the same bytes that were read first; they go on, whatever they have done by now.

    Each of two stores its SHA-256 before it looks for the other's, so the one that looks last sees it. Our own row is
    held as weakly as may be, and only rows of later imports are changed: two that do so never wait for each other.

    Raises:
        StepLostError, StepStoppedError: see `ingestion.steps.claims`.
    """
    later = _alike(owner, fingerprint=fingerprint).filter(pk__gt=owner.pk, forced=False)
    same = [found.pk for found in later if _is_of(found, sha256)]
    if not same:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        hold(cursor, claim)
        Import.objects.filter(pk__in=same, duplicate_of=None).update(duplicate_of=owner)
    log.info("imports_are_duplicates", import_ids=same, original=owner.pk)


def _alike(owner: Import, *, fingerprint: str) -> QuerySet[Import]:
    if owner.dry_run or not fingerprint:
        return Import.objects.none()
    read = SourceRow.objects.filter(owner=OuterRef("pk")).exclude(sha256="")
    alike = Import.objects.filter(
        Exists(read),
        fingerprint=fingerprint,
        options_hash=owner.options_hash,
        created_by_id=owner.created_by_id,
        dry_run=False,
        duplicate_of=None,
    )
    return alike.exclude(state__in=[states.FAILED, states.CANCELLED]).order_by("pk")


def _is_of(candidate: Import, sha256: str) -> bool:
    return list(SourceRow.objects.filter(owner=candidate).values_list("sha256", flat=True)) == [sha256]


def sha256_of(source: ByteSource, *, check: Callable[[], None]) -> str:
    """
    SHA-256 of all decompressed bytes.

    Args:
        check: called for every block; may raise to end the reading.
    """
    digest = hashlib.sha256()
    for block in source.blocks():
        check()
        digest.update(block)
    return digest.hexdigest()


def note_duplicate(claim: StepClaim, *, original: Import) -> bool:
    """
    Say that an import is of the same bytes as an earlier one, and end it if nothing of it is in the database yet.

    Resolves hold the import's row, so none can commit between our look and our change.

    Returns:
        whether it ended. If not (it was loaded while it arrived), it goes on, and is only marked.
    """
    with transaction.atomic():
        owner = held_for_update(claim)
        owner.duplicate_of = original
        begun = Chunk.objects.filter(owner=owner).exclude(resolved_at=None).exists()
        if not begun:
            owner.state, owner.ended_at = states.CANCELLED, utc_now()
            owner.reason = (
                f"These bytes were imported with the same options as import {original.pk}, so nothing was loaded. "
                "To load them again, force it."
            )
        owner.save(update_fields=["duplicate_of", "state", "ended_at", "reason"])
    log.info("import_is_duplicate", import_id=owner.pk, original=original.pk, ended=not begun)
    return not begun
