"""
What people ask of an import: start, pause, resume, cancel. Asking twice does no harm, and workers are woken.

The API and the admin call these. `ingestion.services` has the bare changes of state that they are made of; workers and
the command, which know that there is something to do, call those.
"""

from datetime import datetime

from django.db import transaction

from ingestion import dispatch, states
from ingestion.errors import (
    ImportNotFoundError,
    ImportNotResumableError,
    ImportNotStartedError,
    ImportOfCommandError,
)
from ingestion.intake import queue_up
from ingestion.models import Import
from ingestion.services import import_cancel, import_pause, import_start


def import_begin(*, import_id: int, now: datetime) -> Import:
    """
    Start an import that was made without starting, or go on with a paused one. One that is under way stays as it is.

    Raises:
        ImportNotFoundError, ImportNotResumableError: there is none, or it has ended.
        ImportOfCommandError: it reads a local file.
        UploadGoneError: the upload expired or was terminated.
    """
    with transaction.atomic():
        owner = _held(import_id)
        _refuse_ended(owner)
        if owner.state == states.PAUSED:
            return _go_on(owner, now=now)
        if owner.state == states.OPEN:
            _refuse_command(owner)
            queue_up(owner)
    return owner


def import_resume(*, import_id: int, now: datetime) -> Import:
    """
    Go on with a paused import. One that is under way stays as it is.

    Raises:
        ImportNotFoundError, ImportNotResumableError: there is none, or it has ended.
        ImportNotStartedError: it has not begun.
        ImportOfCommandError: it reads a local file.
    """
    with transaction.atomic():
        owner = _held(import_id)
        _refuse_ended(owner)
        if owner.state == states.OPEN:
            raise ImportNotStartedError(import_id=import_id)
        return _go_on(owner, now=now) if owner.state == states.PAUSED else owner


def import_hold(*, import_id: int) -> Import:
    """
    Pause an import; one that is paused stays so.

    Raises:
        ImportNotFoundError, ImportNotPausableError: there is none, or it is not under way.
    """
    with transaction.atomic():
        owner = _held(import_id)
        if owner.state != states.PAUSED:
            import_pause(import_id=import_id)
            owner.refresh_from_db()
    return owner


def import_call_off(*, import_id: int, now: datetime) -> Import:
    """
    Stop an import for good; what was merged stays. One that was cancelled stays so.

    Args:
        now: timezone-aware UTC.
    Raises:
        ImportNotFoundError, ImportNotCancellableError: there is none, or it ended otherwise.
    """
    with transaction.atomic():
        owner = _held(import_id)
        if owner.state != states.CANCELLED:
            import_cancel(import_id=import_id, now=now)
            owner.refresh_from_db()
            # Somebody has to write its certificate.
            dispatch.wake(owner.pk)
    return owner


def _held(import_id: int) -> Import:
    owner = Import.objects.select_for_update().filter(pk=import_id).first()
    if owner is None:
        raise ImportNotFoundError(import_id=import_id)
    return owner


def _refuse_ended(owner: Import) -> None:
    if owner.state in states.ENDED:
        raise ImportNotResumableError(import_id=owner.pk, state=owner.state)


def _refuse_command(owner: Import) -> None:
    if owner.queue == "":
        raise ImportOfCommandError(import_id=owner.pk)


def _go_on(owner: Import, *, now: datetime) -> Import:
    _refuse_command(owner)
    import_start(import_id=owner.pk, now=now)
    owner.refresh_from_db()
    dispatch.wake(owner.pk)
    return owner
