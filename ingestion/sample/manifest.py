"""What was planted in a sample file, and what an import of it has to report."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from ingestion.sample.kinds import Outcome
from ingestion.sample.spec import SampleSpec


@dataclass
class PlantedRecord:
    """
    One record that was planted on purpose.

    Args:
        record: its number, from 1; the header is not counted, blank records are.
        line: the physical line it begins on, from 1; the header is line 1.
        offset: bytes before it, of the decompressed file.
        length: bytes, with the terminator.
        kind: what was planted.
        outcome: "loaded", "rejected" or "ignored".
        code: the error code, or the reason why it is ignored.
        column: the name of the column in question; None if it is the whole record.
        column_number: its number, from 1.
        value: what stands there, at most 200 characters.
    """

    record: int
    line: int
    offset: int
    length: int
    kind: str
    outcome: Outcome
    code: str | None
    column: str | None = None
    column_number: int | None = None
    value: str | None = None


@dataclass
class Expected:
    """
    The figures of the certificate, for an import into empty tables with default options.

    Args:
        records: all, whatever becomes of them.
        errors: rejected records by error code; each has exactly one error.
        ignored: ignored records by reason.
        users, items, orders: distinct ones among the loaded records.
    """

    records: int = 0
    loaded: int = 0
    rejected: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    users: int = 0
    items: int = 0
    orders: int = 0


@dataclass
class Manifest:
    """
    A sample file and what is in it.

    Args:
        bytes: of the decompressed file.
        sha256: of the decompressed file, in hex.
        planted: in file order.
    """

    spec: SampleSpec
    bytes: int
    sha256: str
    expected: Expected
    planted: list[PlantedRecord]

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    def as_json(self) -> str:
        """The manifest as a JSON document."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False) + "\n"
