"""Certify: the books of an import whose chunks are all done, or of one that was stopped."""

import structlog
from django.db import connection, transaction

from ingestion import states
from ingestion.clock import utc_now
from ingestion.metrics import count_end
from ingestion.models import Import
from ingestion.stages.certify import import_certify
from ingestion.steps.claims import Keeper, StepClaim, held_for_update, hold

log = structlog.get_logger(__name__)
CERTIFIABLE = frozenset({states.RUNNING, *states.ENDED})
UNCERTIFIED = "The certificate could not be written yet"


def certify(claim: StepClaim, keeper: Keeper) -> None:
    """
    Write the certificate; a running import ends here.

    Raises:
        StepLostError, StepStoppedError: see `ingestion.steps.claims`.
    """
    del keeper
    now = utc_now()
    with transaction.atomic(), connection.cursor() as cursor:
        hold(cursor, claim, among=CERTIFIABLE)
        owner = Import.objects.only("running_since", "ended_at", "reason").get(pk=claim.import_id)
        if UNCERTIFIED in owner.reason:
            Import.objects.filter(pk=claim.import_id).update(reason=_without_complaint(owner.reason))
        since = owner.running_since
        seconds = 0.0 if since is None else max(0.0, ((owner.ended_at or now) - since).total_seconds())
        certificate = import_certify(import_id=claim.import_id, now=now, active_seconds=seconds)
    count_end(certificate["state"])
    log.info(
        "import_ended",
        import_id=claim.import_id,
        state=certificate["state"],
        records=certificate["records"],
        rejected=certificate["rejected"],
        seconds=certificate["seconds"],
    )


def complain(claim: StepClaim, *, error: str) -> None:
    """
    Say in the import's reason, behind the one it has, that its certificate cannot be written and why, until it is.

    Raises:
        StepLostError, StepStoppedError: see `ingestion.steps.claims`.
    """
    complaint = f"{UNCERTIFIED}, after {claim.attempts - 1} attempts: {error} It is tried again."
    with transaction.atomic():
        owner = held_for_update(claim, among=CERTIFIABLE)
        owner.reason = f"{_without_complaint(owner.reason)} {complaint}".strip()
        owner.save(update_fields=["reason"])
    log.warning("import_not_certified", import_id=claim.import_id, attempts=claim.attempts - 1, error=error)


def _without_complaint(reason: str) -> str:
    return reason.partition(UNCERTIFIED)[0].rstrip()
