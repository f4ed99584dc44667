"""Plan: chunk rows of the import, while workers already work on the first, and its SHA-256."""

from django.db.backends.utils import CursorWrapper

from ingestion import dispatch, states
from ingestion.clock import utc_now
from ingestion.models import Import, Source as SourceRow
from ingestion.opening import source_from_descriptor
from ingestion.services import fingerprint_of, import_begin_running
from ingestion.stages.plan import Planner, PlanStoppedError
from ingestion.steps.claims import Keeper, StepClaim, StepStoppedError, hold
from ingestion.steps.duplicates import note_duplicate, original_of, originals

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
    )
    try:
        planner.run()
    except PlanStoppedError as error:
        raise StepStoppedError from error
    _mark_duplicate(claim)


def _mark_duplicate(claim: StepClaim) -> None:
    """Somebody may have imported the same bytes while we planned these, or while they arrived."""
    owner = Import.objects.get(pk=claim.import_id)
    row = SourceRow.objects.get(owner=owner, number=0)
    fingerprint = owner.fingerprint
    if not fingerprint:
        fingerprint = fingerprint_of([source_from_descriptor(row.descriptor).fingerprint() or ""])
        Import.objects.filter(pk=owner.pk, fingerprint="").update(fingerprint=fingerprint)
    original = original_of(originals(owner, fingerprint=fingerprint), sha256=row.sha256)
    if original is not None:
        note_duplicate(claim, original=original)
