"""The states of an import and of a chunk, and the allowed transitions, as data."""

from typing import Final

# Import
OPEN: Final = "open"
UPLOADING: Final = "uploading"
QUEUED: Final = "queued"
RUNNING: Final = "running"
PAUSED: Final = "paused"
COMPLETED: Final = "completed"
COMPLETED_WITH_REJECTS: Final = "completed_with_rejects"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"

TRANSITIONS: Final[dict[str, frozenset[str]]] = {
    OPEN: frozenset({UPLOADING, QUEUED, CANCELLED, FAILED}),
    UPLOADING: frozenset({QUEUED, RUNNING, CANCELLED, FAILED}),
    QUEUED: frozenset({RUNNING, PAUSED, CANCELLED, FAILED}),
    RUNNING: frozenset({PAUSED, COMPLETED, COMPLETED_WITH_REJECTS, FAILED, CANCELLED}),
    PAUSED: frozenset({RUNNING, CANCELLED, FAILED}),
    COMPLETED: frozenset(),
    COMPLETED_WITH_REJECTS: frozenset(),
    FAILED: frozenset(),
    CANCELLED: frozenset(),
}
ALL: Final = tuple(TRANSITIONS)
ENDED: Final = frozenset(state for state, targets in TRANSITIONS.items() if not targets)
SUCCEEDED: Final = frozenset({COMPLETED, COMPLETED_WITH_REJECTS})
RESUMABLE: Final = frozenset({OPEN, QUEUED, RUNNING, PAUSED})


def sources_of(target: str) -> frozenset[str]:
    """States from which `target` may be entered (for a compare-and-set)."""
    return frozenset(state for state, targets in TRANSITIONS.items() if target in targets)


# Chunk
PLANNED: Final = "planned"
CLAIMED: Final = "claimed"
DONE: Final = "done"
STOPPED: Final = "stopped"

CHUNK_TRANSITIONS: Final[dict[str, frozenset[str]]] = {
    PLANNED: frozenset({CLAIMED}),
    CLAIMED: frozenset({PLANNED, CLAIMED, DONE, STOPPED}),
    DONE: frozenset(),
    STOPPED: frozenset(),
}
