"""From an upload to an import: made or found again, and moved on when its last byte has arrived."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final

import structlog
from django.db import connection, transaction

from config.kernel.errors import ApplicationError
from ingestion import dispatch, states
from ingestion.announcing import announce_end
from ingestion.errors import UploadPartialError
from ingestion.models import AUTO, GONE, PARTIAL, Import, Source, Upload
from ingestion.profile_store import profile_named, profile_with
from ingestion.profiles import Profile
from ingestion.services import (
    fingerprint_of,
    line_base_after,
    options_hash_of,
    root_of,
    serialise,
)
from ingestion.uploads.errors import UploadGoneError, UploadNotFoundError

log = structlog.get_logger(__name__)

SMALL_BYTES: Final = 8 << 20
"""An upload up to this size is done by the workers for small ones, so that it never waits for a large one."""
CANDIDATES: Final = 20


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """
    How an upload is to be imported. None: the profile decides.

    `as_dict` is what `Upload.options` holds for the import that a completed upload makes by itself.
    """

    mapping: dict[str, str] = field(default_factory=dict)
    on_conflict: str | None = None
    max_errors: int | None = None
    max_error_ratio: float | None = None
    parent_id: int | None = None
    force: bool = False
    dry_run: bool = False
    while_uploading: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe, without what is not wished."""
        return {name: value for name, value in vars(self).items() if value not in (None, False, {})}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "Wishes":
        """From `as_dict`; a wish that this release does not know (a newer one wrote the row) is left out."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in given.items() if name in known})

    def applied_to(self, profile: Profile) -> Profile:
        """The profile with the wished rules. Raises ProfileInvalidError."""
        return profile_with(
            profile,
            mapping=self.mapping,
            on_conflict=self.on_conflict,
            max_errors=self.max_errors,
            max_error_ratio=self.max_error_ratio,
        )


NO_WISHES: Final = Wishes()


def settles_everything(profile: Profile) -> list[str]:
    """
    What a profile leaves to evidence, so that its import has to wait for the whole file; [] when it leaves nothing.

    Delimiter, quotes and header are always judged by the beginning of a file; the encoding by samples from all over it,
    and values by those of the sample.
    """
    formats = profile.formats
    loaded = {name for name in ("ordered_at", "unit_price") if profile.mapping.get(name) != ()}
    unset = {
        "reading.encoding": profile.reading.encoding is None,
        "formats.day_first": "ordered_at" in loaded and formats.day_first is None and not formats.date_formats,
        "formats.decimal_separator": formats.decimal_separator is None,
        "formats.thousands_separators": formats.thousands_separators is None,
        "formats.currency_signs": "unit_price" in loaded and formats.currency_signs is None,
    }
    return [option for option, missing in unset.items() if missing]


# Making


def import_from_upload(
    *,
    upload: Upload,
    profile: Profile,
    wishes: Wishes = NO_WISHES,
    start: bool = True,
    created_by_id: str,
    now: datetime,
) -> tuple[Import, bool]:
    """
    The import of an upload with these options: an earlier one of the same person if there is one, else a new one.

    The same import is one of the same upload, or of another with the same bytes (equal by SHA-256), that asks for
    the same. A failed or cancelled one never is; nor is a dry run that has ended, since what it predicts changes.

    Args:
        profile: with the wishes applied (`Wishes.applied_to`).
        wishes: `parent_id` as in `ingestion.services.import_find_or_create`; `force`: make a new import even if there
            is a completed one; `while_uploading`: begin before the last byte has arrived, if the profile settles all
            formats.
        start: False: wait for `import_begin`.
        now: timezone-aware UTC.
    Returns:
        (import, whether it is new).
    Raises:
        UploadNotFoundError, UploadGoneError: it was deleted, expired or terminated.
        UploadPartialError: it is one part of several.
        ParentNotUsableError, ImportNotFoundError: no import can be the child of that parent.
    """
    options_hash = options_hash_of(profile=profile, parent_id=wishes.parent_id, dry_run=wishes.dry_run)
    with transaction.atomic():
        upload = _usable(upload)
        fingerprint = _fingerprint(upload)
        serialise(f"{fingerprint or upload.pk}{options_hash}{created_by_id}")
        known = _known(upload, fingerprint=fingerprint, options_hash=options_hash, created_by_id=created_by_id)
        if known is not None and not _is_stale(known, force=wishes.force):
            if known.state == states.OPEN and start:
                queue_up(known)
            return known, False
        missing = settles_everything(profile) if wishes.while_uploading else []
        complete = upload.state == Upload.State.COMPLETE
        owner = Import.objects.create(
            state=states.OPEN if not start else states.QUEUED if complete else states.UPLOADING,
            reason=_why_it_waits(missing) if missing and not complete else "",
            profile=profile.name,
            options=profile.as_dict(),
            options_hash=options_hash,
            fingerprint=fingerprint,
            parent_id=root_of(wishes.parent_id),
            line_base=line_base_after(wishes.parent_id),
            created_by_id=created_by_id,
            created_at=now,
            upload=upload,
            dry_run=wishes.dry_run,
            forced=wishes.force,
            while_uploading=wishes.while_uploading and not (missing or wishes.dry_run or complete),
            queue=_queue_for(upload),
        )
        if start:
            dispatch.wake(owner.pk)
    log.info("import_created", import_id=owner.pk, upload_id=str(upload.pk), state=owner.state, dry_run=owner.dry_run)
    return owner, True


def _usable(upload: Upload) -> Upload:
    """The upload's row, held so that it does not complete or expire meanwhile."""
    held = Upload.objects.select_for_update().filter(pk=upload.pk).first()
    if held is None:
        raise UploadNotFoundError(upload_id=str(upload.pk))
    if held.state in GONE:
        raise UploadGoneError(upload_id=str(held.pk), state=held.state)
    if held.concatenation == PARTIAL:
        raise UploadPartialError(upload_id=str(held.pk))
    return held


def _fingerprint(upload: Upload) -> str:
    """As `ingest_csv` would have it; "" until the upload is complete."""
    return fingerprint_of([upload.fingerprint]) if upload.fingerprint else ""


def _known(upload: Upload, *, fingerprint: str, options_hash: str, created_by_id: str) -> Import | None:
    alike = (
        Import.objects.filter(options_hash=options_hash, created_by_id=created_by_id)
        .exclude(state__in=[states.FAILED, states.CANCELLED])
        .select_related("upload")
        .order_by("-id")
    )
    same_upload = alike.filter(upload=upload).first()
    if same_upload is not None or not fingerprint:
        return same_upload
    candidates = alike.filter(fingerprint=fingerprint)[:CANDIDATES]
    return next((each for each in candidates if _has_same_bytes(each, upload)), None)


def _has_same_bytes(owner: Import, upload: Upload) -> bool:
    """The quick fingerprint matched; only the SHA-256 of all bytes makes it certain."""
    if not upload.sha256:
        return False
    if owner.upload is not None and owner.upload.sha256:
        return owner.upload.sha256 == upload.sha256
    # What was uploaded by tus has the hash that planning it found: of what came out, if it was packed.
    rows = list(Source.objects.filter(owner=owner).values_list("sha256", "descriptor__kind"))
    return len(rows) == 1 and rows[0] == (upload.sha256, "plain")


def _is_stale(known: Import, *, force: bool) -> bool:
    """Whether somebody who asks again wants another one. One that has not ended is gone on with even when forced."""
    return known.state in states.ENDED and (force or known.dry_run)


def _why_it_waits(missing: list[str]) -> str:
    return f"It waits for the whole file, because the profile leaves to evidence: {', '.join(missing)}."


def _queue_for(upload: Upload) -> str:
    size = upload.length_bytes if upload.length_bytes is not None else upload.offset_bytes
    known = upload.length_bytes is not None or upload.state == Upload.State.COMPLETE
    return dispatch.SMALL if known and size <= SMALL_BYTES else dispatch.LARGE


def queue_up(owner: Import) -> None:
    """
    Start an import that is open, whose row is held: it is queued, or waits for the rest of its upload.

    Raises:
        UploadGoneError: the upload expired or was terminated.
    """
    upload = Upload.objects.filter(imports=owner).first()
    if upload is None or upload.state in GONE:
        raise UploadGoneError(upload_id=str(owner.upload_id), state=upload.state if upload else "deleted")
    owner.state = states.QUEUED if upload.state == Upload.State.COMPLETE else states.UPLOADING
    owner.save(update_fields=["state"])
    dispatch.wake(owner.pk)


# When the last byte has arrived


def upload_completed(*, upload: Upload, now: datetime) -> Import | None:
    """
    Go on with what waits for an upload; called in the transaction that completes it.

    Imports that were started already begin now. If there is none, and the upload says `start=auto` and its owner may
    import, one is made of the upload's profile and options (`Wishes.as_dict`); a failed one, if these have become
    impossible since (the profile was deleted).

    Args:
        upload: its row is held, its state is "complete", and `fingerprint` is set.
        now: timezone-aware UTC.
    Returns:
        the import that was made or moved on, if any.
    """
    if upload.concatenation == PARTIAL:
        return None
    waiting = list(Import.objects.select_for_update().filter(upload=upload).exclude(state__in=states.ENDED))
    for owner in waiting:
        _move_on(owner, upload)
    if waiting or upload.start != AUTO or Import.objects.filter(upload=upload).exists():
        return waiting[-1] if waiting else None
    return _made_by_itself(upload, now=now)


def _move_on(owner: Import, upload: Upload) -> None:
    owner.fingerprint, owner.queue = _fingerprint(upload), _queue_for(upload)
    fields = ["fingerprint", "queue"]
    # One that is ingested while it arrives goes on as it is; its planner finds the end by itself.
    if owner.state == states.UPLOADING and not owner.while_uploading:
        owner.state, owner.reason = states.QUEUED, ""
        fields += ["state", "reason"]
    owner.save(update_fields=fields)
    if owner.state != states.OPEN:
        dispatch.wake(owner.pk)


def _made_by_itself(upload: Upload, *, now: datetime) -> Import | None:
    if not upload.owner.has_perm("ingestion.add_import"):
        return None
    wishes = Wishes.from_dict(upload.options)
    try:
        owner, _ = import_from_upload(
            upload=upload,
            profile=wishes.applied_to(profile_named(upload.profile)),
            wishes=wishes,
            created_by_id=upload.owner_id,
            now=now,
        )
    except ApplicationError as error:
        return _failed_at_once(upload, wishes, reason=str(error), now=now)
    return owner


def _failed_at_once(upload: Upload, wishes: Wishes, *, reason: str, now: datetime) -> Import:
    """The upload is complete and its owner is not there to be told: the import and its event say why there is none."""
    log.warning("upload_not_imported", upload_id=str(upload.pk), profile=upload.profile, reason=reason)
    owner = Import.objects.create(
        state=states.FAILED,
        reason=reason,
        profile=upload.profile,
        options_hash="",
        fingerprint=_fingerprint(upload),
        created_by_id=upload.owner_id,
        created_at=now,
        ended_at=now,
        dry_run=wishes.dry_run,
        upload=upload,
        queue=_queue_for(upload),
    )
    with connection.cursor() as cursor:
        announce_end(cursor, owner=owner)
    return owner
