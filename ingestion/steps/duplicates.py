"""The same bytes with the same options again: told by the quick fingerprint, made certain by SHA-256."""

import hashlib
from collections.abc import Callable

import structlog
from django.db import transaction

from ingestion import states
from ingestion.clock import utc_now
from ingestion.models import Chunk, Import, Source as SourceRow
from ingestion.reader import ByteSource
from ingestion.steps.claims import StepClaim, held_for_update

log = structlog.get_logger(__name__)


def originals(owner: Import, *, fingerprint: str) -> list[Import]:
    """
    Earlier imports of the same person that ask for the same and look alike, with all their bytes read; the first first.

    Only earlier ones: of two that run at once exactly one is the other's duplicate.
    """
    if owner.forced or owner.dry_run or not fingerprint:
        return []
    alike = Import.objects.filter(
        fingerprint=fingerprint,
        options_hash=owner.options_hash,
        created_by_id=owner.created_by_id,
        pk__lt=owner.pk,
        dry_run=False,
        duplicate_of=None,
    )
    return list(alike.exclude(planned_at=None).exclude(state__in=[states.FAILED, states.CANCELLED]).order_by("pk"))


def original_of(candidates: list[Import], *, sha256: str) -> Import | None:
    """The candidate whose one source has this SHA-256 (of decompressed bytes)."""
    for candidate in candidates:
        known = list(SourceRow.objects.filter(owner=candidate).values_list("sha256", flat=True))
        if known == [sha256]:
            return candidate
    return None


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
