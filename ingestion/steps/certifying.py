"""Certify: the books of an import whose chunks are all done, or of one that was stopped."""

import structlog
from django.db import connection, transaction

from ingestion import states
from ingestion.clock import utc_now
from ingestion.metrics import count_end
from ingestion.models import Import
from ingestion.stages.certify import import_certify
from ingestion.steps.claims import Keeper, StepClaim, hold

log = structlog.get_logger(__name__)
CERTIFIABLE = frozenset({states.RUNNING, *states.ENDED})


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
        owner = Import.objects.only("running_since", "ended_at").get(pk=claim.import_id)
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
