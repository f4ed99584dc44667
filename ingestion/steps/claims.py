"""Claims of steps: a lease and a fencing token on the import's row, as a chunk has on its own (ADR 7, ADR 12)."""

import os
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from ingestion import shutdown, states
from ingestion.models import Import

queries = load_queries("ingestion", "steps")

PREPARE: Final = "prepare"
PLAN: Final = "plan"
DRY_RUN: Final = "dry_run"
CERTIFY: Final = "certify"
ALL_STEPS: Final = (PREPARE, PLAN, DRY_RUN, CERTIFY)
LEASE_SECONDS: Final = 60
HEARTBEAT_SECONDS: Final = 15
LOOK_SECONDS: Final = 1.0
FOLLOW_FROM_BYTES: Final = 1 << 20
"""An import begins while its file is uploaded when this much is there: what formats and header are told by."""
UNDER_WAY: Final = frozenset({states.QUEUED, states.UPLOADING, states.RUNNING})


class StepLostError(Exception):
    """Another worker holds the step now: whatever this one did since its claim must be thrown away."""


class StepStoppedError(Exception):
    """The import was paused or has ended, or this process is about to end."""


@dataclass(frozen=True)
class StepClaim:
    """
    A step held under a fencing token.

    `follows`: the upload is still being received; `lasts`: it goes over a big file or over one that still arrives.
    """

    import_id: int
    token: int
    step: str
    attempts: int
    follows: bool
    lasts: bool


def worker_name() -> str:
    """Host and process, for people."""
    return f"{socket.gethostname()}:{os.getpid()}"


def step_claim(
    *,
    steps: Sequence[str] = ALL_STEPS,
    import_id: int | None = None,
    may_follow: bool = True,
    may_last: bool = True,
) -> StepClaim | None:
    """
    Claim the most urgent step that nobody does.

    Args:
        steps: which ones.
        import_id: of this import only.
        may_follow: whether planning an upload that is still being received comes into question.
        may_last: whether anything does that goes over a big file.
    """
    options = {"may_follow": may_follow, "may_last": may_last}
    for waiting in _steps_waiting(steps=steps, import_id=import_id, **options):
        claim = _try(waiting)
        if claim is not None:
            return claim
    return None


def steps_waiting(*, steps: Sequence[str] = ALL_STEPS, may_follow: bool = True, may_last: bool = True) -> list[int]:
    """Ids of some imports with a step that nobody does; arguments as for `step_claim`."""
    options = {"may_follow": may_follow, "may_last": may_last}
    return [row[0] for row in _steps_waiting(steps=steps, import_id=None, **options)]


def _steps_waiting(
    *, steps: Sequence[str], import_id: int | None, may_follow: bool, may_last: bool
) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(
            queries.steps_waiting,
            {
                "steps": list(steps),
                "import_id": import_id,
                "may_follow": may_follow,
                "may_last": may_last,
                "follow_from_bytes": FOLLOW_FROM_BYTES,
            },
        )
        return list(cursor.fetchall())


def _try(waiting: tuple[Any, ...]) -> StepClaim | None:
    import_id, token, step, follows, lasts, old_backend = waiting
    values = {"import_id": import_id, "token": token, "worker": worker_name(), "lease_seconds": LEASE_SECONDS}
    with connection.cursor() as cursor:
        if old_backend is not None:
            cursor.execute(queries.step_backend_end, values)
        cursor.execute(queries.step_claim, values)
        row = cursor.fetchone()
    return None if row is None else StepClaim(import_id, row[0], step, row[1], follows, lasts)


def step_release(
    *, claim: StepClaim, done: bool = False, error: str = "", wait_seconds: float = 0, forgiven: bool = False
) -> None:
    """
    Give a step back. Nothing happens if it is no longer ours.

    Args:
        done: attempts of the next step count from nought.
        error: what went wrong, for people.
        wait_seconds: nobody tries again before.
        forgiven: the attempt does not count.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            queries.step_release,
            {
                "import_id": claim.import_id,
                "token": claim.token,
                "done": done,
                "error": error[:2000],
                "wait_seconds": wait_seconds,
                "forgiven": int(forgiven),
            },
        )


def hold(cursor: CursorWrapper, claim: StepClaim, *, among: frozenset[str] = UNDER_WAY) -> str:
    """
    Hold the import's row in a transaction that writes for a step.

    Args:
        among: states in which the step may write.
    Returns:
        the state.
    Raises:
        StepLostError: somebody else does the step now.
        StepStoppedError: the import is in another state.
    """
    cursor.execute(queries.step_hold, {"import_id": claim.import_id})
    state, token = cursor.fetchone()
    if token != claim.token:
        raise StepLostError
    if state not in among:
        raise StepStoppedError
    return str(state)


def held_for_update(claim: StepClaim, *, among: frozenset[str] = UNDER_WAY) -> Import:
    """The import's row, locked for a change by a step, inside a transaction. Raises as `hold`."""
    owner = Import.objects.select_for_update().get(pk=claim.import_id)
    if owner.step_token != claim.token:
        raise StepLostError
    if owner.state not in among:
        raise StepStoppedError
    return owner


class Keeper:
    """
    Keeps the lease of a step alive and looks whether it should end, from a thread with a connection of its own.

        with Keeper(claim) as keeper:
            while not keeper.over: …

    A process that is frozen as a whole stops beating; one that computes or waits does not.
    """

    def __init__(self, claim: StepClaim) -> None:
        self._claim = claim
        self._done = threading.Event()
        self._over = False
        self._progress: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._run, name=f"keep-{claim.step}-{claim.import_id}", daemon=True)

    def __enter__(self) -> "Keeper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def over(self) -> bool:
        """Whether to stop: the step was lost, the import stopped, or the process is about to end."""
        return self._over or shutdown.ending.is_set()

    def tell(self, progress: dict[str, Any]) -> None:
        """Store this progress with the import, soon; for steps whose chunks nobody else can see."""
        self._progress = progress

    def _run(self) -> None:
        beaten = time.monotonic()
        while not self._done.wait(LOOK_SECONDS):
            try:
                self._look()
                if time.monotonic() - beaten >= HEARTBEAT_SECONDS:
                    beaten = time.monotonic()
                    self._beat()
            except (DatabaseError, InterfaceError):
                connection.close()
        connection.close()

    def _look(self) -> None:
        found = Import.objects.filter(pk=self._claim.import_id).values_list("state", "step_token").first()
        ended_ones = self._claim.step == CERTIFY
        if found is None or found[1] != self._claim.token or (found[0] not in UNDER_WAY and not ended_ones):
            self._over = True
        elif self._progress is not None:
            told, self._progress = self._progress, None
            Import.objects.filter(pk=self._claim.import_id, step_token=self._claim.token).update(step_progress=told)

    def _beat(self) -> None:
        values = {
            "import_id": self._claim.import_id,
            "token": self._claim.token,
            "lease_seconds": LEASE_SECONDS,
        }
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = off")
            cursor.execute(queries.step_heartbeat, values)
