"""Plan: chunk rows of the import, while workers already work on the first, and its SHA-256."""

from django.db import transaction
from django.db.backends.utils import CursorWrapper

from ingestion import dispatch, states
from ingestion.clock import utc_now
from ingestion.models import Import, Source as SourceRow
from ingestion.opening import source_from_descriptor
from ingestion.services import fingerprint_of, import_begin_running
from ingestion.stages.plan import Planner, PlanStoppedError
from ingestion.steps.claims import Keeper, StepClaim, StepStoppedError, held_for_update, hold
from ingestion.steps.duplicates import mark_later, note_duplicate, original_of, originals

RUNNING = frozenset({states.RUNNING})


def plan(claim: StepClaim, keeper: Keeper) -> None:
    """
    Plan an import to its end; of an upload that is still being received as far as it has arrived, and then on.

    Raises:
        ingestion.reader.ReaderError, SourceDiffersError: the import cannot be done.
        StepLostError, StepStoppedError: see `ingestion.steps.claims`.
    """
    import_begin_running(import_id=claim.import_id, now=utc_now())
    owner = Import.objects.get(pk=claim.import_id)

    def fence(cursor: CursorWrapper) -> None:
        hold(cursor, claim, among=RUNNING)

    planner = Planner(
        owner=owner,
        now=utc_now,
        running=lambda: not keeper.over,
        fence=fence,
        planned=lambda: dispatch.wake_workers(owner.queue),
        end=lambda: _end(claim),
    )
    try:
        planner.run()
    except PlanStoppedError as error:
        raise StepStoppedError from error


def _end(claim: StepClaim) -> None:
    """
    Note that all is planned, and whose duplicate it is, in one transaction: one is never true without the other.

    Somebody may have imported the same bytes while we planned these, or while they arrived.
    """
    owner = Import.objects.get(pk=claim.import_id)
    sha256 = SourceRow.objects.get(owner=owner, number=0).sha256
    fingerprint = _fingerprint(owner)
    original = original_of(originals(owner, fingerprint=fingerprint), sha256=sha256)
    if original is None:
        mark_later(claim, owner, fingerprint=fingerprint, sha256=sha256)
    with transaction.atomic():
        owner = held_for_update(claim, among=RUNNING)
        owner.planned_at = owner.planned_at or utc_now()
        owner.save(update_fields=["planned_at"])
        if original is not None:
            note_duplicate(claim, original=original)


def _fingerprint(owner: Import) -> str:
    """Of an upload that was still being received when it was prepared, only now; stored so that others find it."""
    if owner.fingerprint:
        return owner.fingerprint
    row = SourceRow.objects.get(owner=owner, number=0)
    fingerprint = fingerprint_of([source_from_descriptor(row.descriptor).fingerprint() or ""])
    Import.objects.filter(pk=owner.pk, fingerprint="").update(fingerprint=fingerprint)
    return fingerprint
