"""What a worker is told about the import it works for, and about the chunk it holds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from ingestion.profiles import Profile

# Two keys of PostgreSQL's advisory locks; the first names this project.
INTEGRITY_GATE: Final = 0x51C6_0001


@dataclass(frozen=True)
class Job:
    """
    One import as the stages see it.

    Args:
        line_base: line numbers of records start after this (0, but for a child import).
        upsert: a child import always upserts into existing orders, whatever the profile says.
        grantor_id: the person whose roles limit what a roles column may give; None: the operator's shell.
        replica_role: whether foreign-key triggers may be off in merges (SET LOCAL session_replication_role).
    """

    import_id: int
    profile: Profile
    line_base: int = 0
    upsert: bool = False
    grantor_id: str | None = None
    replica_role: bool = True

    @property
    def on_conflict(self) -> str:
        """The policy about orders of other imports."""
        return "update" if self.upsert else self.profile.rules.on_conflict

    @property
    def two_passes(self) -> bool:
        """Whether every chunk must be resolved before the first merges."""
        return self.profile.rules.partial_orders == "reject"


@dataclass(frozen=True)
class Claim:
    """A chunk held by a worker under a fencing token; the fields are those of `ingestion.models.Chunk`."""

    id: int
    import_id: int
    number: int
    source: int
    offset: int
    length: int
    first_record: int
    records: int
    first_line: int
    lines: int
    quoting: str
    token: int
    attempts: int
    resolved: bool
    resolution: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def unheld(cls, row: Sequence[Any]) -> Self:
        """A chunk to read again without holding it; `row` has the fields up to `quoting`."""
        values = (*row, 0, 0, True)
        return cls(*values)
