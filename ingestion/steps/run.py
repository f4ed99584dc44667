"""Do whatever steps wait; each gets done, is tried again, or ends its import with a reason."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypedDict

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction

from ingestion import dispatch, shutdown
from ingestion.clock import utc_now
from ingestion.errors import ImportNotPausableError, SourceDiffersError
from ingestion.models import Import
from ingestion.profiles import ProfileError, SettlementError
from ingestion.reader import ReaderError
from ingestion.services import import_fail, import_pause
from ingestion.steps.certifying import certify, complain
from ingestion.steps.claims import (
    ALL_STEPS,
    CERTIFY,
    DRY_RUN,
    PLAN,
    PREPARE,
    Keeper,
    StepClaim,
    StepLostError,
    StepStoppedError,
    held_for_update,
    step_claim,
    step_release,
    steps_waiting,
)
from ingestion.steps.places import NoPlaceError, dry_runs, followers, lasting, places_of
from ingestion.steps.planning import plan
from ingestion.steps.predicting import predict
from ingestion.steps.preparing import prepare
from ingestion.uploads.errors import StorageFullError, StorageUnavailableError, UploadTakenOverError

log = structlog.get_logger(__name__)

STEPS: Final[dict[str, Callable[[StepClaim, Keeper], None]]] = {
    PREPARE: prepare,
    PLAN: plan,
    DRY_RUN: predict,
    CERTIFY: certify,
}
MAX_ATTEMPTS: Final = 20
LONGEST_WAIT_SECONDS: Final = 30.0
RETRYABLE: Final = {"40P01", "40001"}  # deadlock_detected, serialization_failure
DISK_FULL: Final = "53100"
HOPELESS: Final = (ReaderError, SettlementError, ProfileError, SourceDiffersError)
PLACE_WAIT_SECONDS: Final = 5.0


class _OpenTo(TypedDict):
    steps: list[str]
    may_follow: bool
    may_last: bool


def run_steps(*, steps: Sequence[str] = ALL_STEPS, import_id: int | None = None) -> int:
    """
    Do steps until none waits or the process ends.

    Args:
        steps: which ones.
        import_id: of this import only.
    Returns:
        how many were claimed.
    """
    count = 0
    while not shutdown.ending.is_set() and _run_one(steps, import_id):
        count += 1
    return count


def steps_to_do() -> bool:
    """Whether a step waits for which this process has a place."""
    return bool(steps_waiting(**_open_to(ALL_STEPS)))


def _open_to(steps: Sequence[str]) -> _OpenTo:
    """What may be claimed with the places that are free."""
    return {
        "steps": [step for step in steps if step != DRY_RUN or dry_runs.free],
        "may_follow": followers.free and lasting.free,
        "may_last": lasting.free,
    }


def _run_one(steps: Sequence[str], import_id: int | None) -> bool:
    claim = step_claim(import_id=import_id, **_open_to(steps))
    if claim is None:
        return False
    with structlog.contextvars.bound_contextvars(import_id=claim.import_id, step=claim.step):
        try:
            with places_of(claim):
                _attempt(claim)
        except NoPlaceError:
            step_release(claim=claim, forgiven=True)
    return True


def _attempt(claim: StepClaim) -> None:
    """Every way an attempt can end leaves the step done, free, or its import stopped with the reason."""
    if claim.attempts > MAX_ATTEMPTS and claim.step != CERTIFY:
        _give_up(claim)
        return
    try:
        if claim.attempts > MAX_ATTEMPTS:
            complain(claim, error=_last_error(claim))
        with Keeper(claim) as keeper:
            STEPS[claim.step](claim, keeper)
    except StepLostError:
        log.info("step_lost")
    except (StepStoppedError, UploadTakenOverError):
        step_release(claim=claim, forgiven=True)
    except NoPlaceError:
        step_release(claim=claim, forgiven=True, wait_seconds=PLACE_WAIT_SECONDS)
    except StorageFullError as error:
        _pause(claim, f"There is no room for the decompressed file: {error} Make room, then go on.", error)
    except (OperationalError, InterfaceError) as error:
        _after_database_error(claim, error)
    except HOPELESS as error:
        _after_reader_error(claim, error)
    except Exception as error:
        log.exception("step_failed", attempt=claim.attempts)
        _try_later(claim, error)
    else:
        step_release(claim=claim, done=True)
        log.info("step_done")
        dispatch.wake_workers(_queue_of(claim))


def _queue_of(claim: StepClaim) -> str:
    return str(Import.objects.values_list("queue", flat=True).get(pk=claim.import_id))


def _after_reader_error(claim: StepClaim, error: Exception) -> None:
    """The file cannot be loaded, and trying again would not help; unless it is the storage that does not answer."""
    if isinstance(error.__cause__, StorageUnavailableError):
        _try_later(claim, error)
        return
    _fail(claim, str(error))


def _fail(claim: StepClaim, reason: str) -> None:
    if _changed(claim, lambda: import_fail(import_id=claim.import_id, now=utc_now(), reason=reason)):
        step_release(claim=claim, done=True)


def _changed(claim: StepClaim, change: Callable[[], object]) -> bool:
    """Change the import for a step; not if somebody else does the step by now, or the import was stopped meanwhile."""
    try:
        with transaction.atomic():
            held_for_update(claim)
            change()
    except StepLostError:
        log.info("step_lost")
    except StepStoppedError:
        # Certifying an import that has ended cannot be stopped, and must not be tried in a loop.
        wait_seconds = LONGEST_WAIT_SECONDS if claim.step == CERTIFY else 0
        step_release(claim=claim, forgiven=True, wait_seconds=wait_seconds)
    else:
        return True
    return False


def _after_database_error(claim: StepClaim, error: Exception) -> None:
    """A deadlock or a lost connection is nobody's fault: it does not count as an attempt."""
    code = getattr(error.__cause__, "pgcode", None)
    log.warning("step_interrupted", code=code, error=str(error).strip())
    if not connection.is_usable():
        # With our backend gone the step is free.
        connection.close()
        raise error
    if code == DISK_FULL:
        _pause(claim, f"The disk of the database is full: {str(error).strip()} Make room, then go on.", error)
    elif code in RETRYABLE:
        step_release(claim=claim, forgiven=True)
    else:
        _try_later(claim, error)


def _try_later(claim: StepClaim, error: Exception) -> None:
    wait_seconds = min(LONGEST_WAIT_SECONDS, 0.2 * 2 ** min(claim.attempts, 16))
    step_release(claim=claim, error=f"{type(error).__name__}: {error}", wait_seconds=wait_seconds)


def _pause(claim: StepClaim, reason: str, error: Exception) -> None:
    def change() -> None:
        with suppress(ImportNotPausableError):
            import_pause(import_id=claim.import_id, reason=reason)

    if _changed(claim, change):
        log.warning("import_paused", reason=reason)
        step_release(claim=claim, error=str(error), forgiven=True)


def _give_up(claim: StepClaim) -> None:
    doing = {PREPARE: "Preparing", PLAN: "Planning", DRY_RUN: "The dry run"}[claim.step]
    _fail(claim, f"{doing} failed {claim.attempts - 1} times. {_last_error(claim)}")


def _last_error(claim: StepClaim) -> str:
    error = Import.objects.values_list("step_error", flat=True).get(pk=claim.import_id)
    return error or "Each time its process was killed."
