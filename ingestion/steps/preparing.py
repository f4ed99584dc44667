"""Prepare: open the upload, find out how it is written, settle columns and formats; or say what cannot be settled."""

import threading
from contextlib import nullcontext
from typing import Final

from django.db import transaction

from ingestion import dispatch, states
from ingestion.clock import utc_now
from ingestion.models import Import, Source as SourceRow, Upload
from ingestion.opening import source_of_upload
from ingestion.prepare import detect_source, prepared, settle_all
from ingestion.profiles import Profile
from ingestion.reader import ByteSource, SourceUnavailable
from ingestion.reader.source import PLAIN
from ingestion.services import PreparedSource, fingerprint_of, import_begin_running
from ingestion.steps.claims import Keeper, StepClaim, StepStoppedError, held_for_update
from ingestion.steps.duplicates import note_duplicate, original_of, originals, sha256_of
from ingestion.steps.places import lasting

# Each may hold 64 MiB of a file.
_AT_ONCE: Final = threading.BoundedSemaphore(2)


def prepare(claim: StepClaim, keeper: Keeper) -> None:
    """
    Make the Source row of an import of an upload.

    Raises:
        ingestion.reader.ReaderError, ingestion.profiles.SettlementError: the import cannot be done.
        NoPlaceError: a pass over a big file is needed, and this process does as many as it may.
        StepLostError, StepStoppedError: see `ingestion.steps.claims`.
    """
    owner = Import.objects.select_related("upload").get(pk=claim.import_id)
    upload = owner.upload
    if upload is None:
        raise SourceUnavailable("The upload was removed before it was read.", hint="Upload it again.")
    arriving = upload.state == Upload.State.RECEIVING
    source = source_of_upload(upload)
    if arriving and source.kind != PLAIN:
        _wait_for_the_whole(claim)
        return
    found = _settled(source, profile=Profile.from_dict(owner.options), arriving=arriving)
    fingerprint = fingerprint_of([found.fingerprint]) if found.fingerprint else ""
    if _ended_as_duplicate(claim, keeper, owner, source=source, fingerprint=fingerprint):
        return
    with transaction.atomic():
        owner = held_for_update(claim)
        SourceRow.objects.update_or_create(
            owner=owner,
            number=0,
            defaults={
                "name": found.name,
                "descriptor": found.descriptor,
                "dialect": found.dialect,
                "settlement": found.settlement,
                "evidence": found.evidence,
                "preface": found.preface,
            },
        )
        owner.prepared_at = utc_now()
        owner.fingerprint = fingerprint or owner.fingerprint
        owner.save(update_fields=["prepared_at", "fingerprint"])
        import_begin_running(import_id=owner.pk, now=utc_now())


def _settled(source: ByteSource, *, profile: Profile, arriving: bool) -> PreparedSource:
    with _AT_ONCE:
        opened = detect_source(source, profile=profile, more_to_come=arriving)
        return prepared(opened, settle_all([opened], profile=profile)[0])


def _wait_for_the_whole(claim: StepClaim) -> None:
    """A packed file is read from its beginning to its end, when that is there."""
    with transaction.atomic():
        owner = held_for_update(claim)
        owner.while_uploading = False
        # Whoever completes the upload locks our row after its own: either it sees what we wrote, or we see it.
        if (
            owner.state == states.UPLOADING
            and Upload.objects.filter(imports=owner).values_list("state", flat=True).first() == Upload.State.COMPLETE
        ):
            owner.state = states.QUEUED
        owner.reason = "It is packed, so it waits for the whole file." if owner.state == states.UPLOADING else ""
        owner.save(update_fields=["while_uploading", "state", "reason"])


def _ended_as_duplicate(
    claim: StepClaim, keeper: Keeper, owner: Import, *, source: ByteSource, fingerprint: str
) -> bool:
    """Before anything is loaded; costs a pass over the bytes, but only when they look alike."""
    candidates = originals(owner, fingerprint=fingerprint)
    if not candidates:
        return False

    def check() -> None:
        if keeper.over:
            raise StepStoppedError

    with nullcontext() if owner.queue == dispatch.SMALL else lasting.taken():
        sha256 = sha256_of(source, check=check)
    original = original_of(candidates, sha256=sha256)
    return original is not None and note_duplicate(claim, original=original)
