"""A dry run as a step: the prediction becomes the certificate of the import's row."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.core import signing
from django.db import transaction

from ingestion import states
from ingestion.clock import utc_now
from ingestion.dryrun import DryRun, DryRunStoppedError, dry_run
from ingestion.models import Import, Source as SourceRow
from ingestion.profiles import Profile
from ingestion.selectors import Progress
from ingestion.services import PreparedSource, import_begin_running
from ingestion.stages.certify import SALT
from ingestion.steps.claims import Keeper, StepClaim, StepStoppedError, held_for_update


def predict(claim: StepClaim, keeper: Keeper) -> None:
    """
    Predict an import and end it with the prediction; nothing else is written.

    It runs on a connection of its own, on which temporary tables stand in front of the real ones.

    Raises:
        ingestion.reader.ReaderError: the source cannot be read.
        StepLostError, StepStoppedError: see `ingestion.steps.claims`.
    """
    started = time.monotonic()
    import_begin_running(import_id=claim.import_id, now=utc_now())
    owner = Import.objects.get(pk=claim.import_id)
    sources = [_prepared(row) for row in SourceRow.objects.filter(owner=owner).order_by("number")]
    total = sum(source.descriptor.get("size") or 0 for source in sources)

    def show(progress: Progress) -> None:
        told = {"records_done": progress.records_done, "bytes_done": progress.bytes_done, "bytes_total": total or None}
        keeper.tell(told)

    with ThreadPoolExecutor(1, thread_name_prefix="dry-run") as thread:
        future = thread.submit(
            dry_run,
            sources=sources,
            profile=Profile.from_dict(owner.options),
            parent_id=owner.parent_id,
            created_by_id=owner.created_by_id,
            show=show,
            directory=None,
            stop=lambda: keeper.over,
        )
        try:
            outcome = future.result()
        except DryRunStoppedError as error:
            raise StepStoppedError from error
    _store(claim, outcome, seconds=time.monotonic() - started)


def _prepared(row: SourceRow) -> PreparedSource:
    return PreparedSource(
        name=row.name,
        descriptor=row.descriptor,
        fingerprint="",
        identity=None,
        dialect=row.dialect,
        settlement=row.settlement,
        evidence=row.evidence,
        preface=bytes(row.preface),
    )


def _store(claim: StepClaim, outcome: DryRun, *, seconds: float) -> None:
    with transaction.atomic():
        owner = held_for_update(claim, among=frozenset({states.RUNNING}))
        owner.state = outcome.certificate["state"]
        owner.reason = outcome.certificate["reason"]
        owner.ended_at = utc_now()
        owner.active_seconds += seconds
        owner.certificate = {
            **outcome.certificate,
            "import_id": owner.pk,
            "seconds": round(seconds, 3),
            "examples": [_plain(example) for example in outcome.examples],
        }
        owner.signature = signing.dumps(owner.certificate, salt=SALT, compress=True)
        owner.save(update_fields=["state", "reason", "ended_at", "active_seconds", "certificate", "signature"])


def _plain(example: dict[str, Any]) -> dict[str, Any]:
    """JSON-safe: without the original bytes, whose encoding the reader of a certificate would have to guess."""
    return {name: value for name, value in example.items() if name != "raw"}
