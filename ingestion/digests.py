"""
Digests of the rows a chunk wrote: SHA-256 over their COPY text in key order.

The fast path of the merge hashes what it sends. For chunks that shared orders with others the digest is made here from
what stands in the tables when the import ends; `verify_import` makes all of them again the same way.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries

queries = load_queries("ingestion", "certify")


@dataclass
class RowDigests:
    """
    What stands in the database, by chunk.

    `digests` is over the rows that nobody changed since, `rows` counts them, `changed` counts the others, and
    `changed_ids` are the ids of changed orders (as COPY prints them).
    """

    digests: dict[int, str] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    changed: dict[int, int] = field(default_factory=dict)
    changed_ids: set[bytes] = field(default_factory=set)

    def note_changed(self, chunk: int) -> None:
        """Count a row that somebody changed since."""
        self.changed[chunk] = self.changed.get(chunk, 0) + 1


class _Stream:
    """File-like target of COPY … TO STDOUT, a row at a time; rows arrive grouped by chunk."""

    def __init__(self, take: Callable[[bytes], tuple[int, bytes] | None]) -> None:
        self._take = take
        self._hashes: dict[int, Any] = {}
        self.rows: dict[int, int] = {}

    def write(self, data: bytes) -> int:
        kept = self._take(data)
        if kept is not None:
            chunk, text = kept
            if chunk not in self._hashes:
                self._hashes[chunk] = hashlib.sha256()
                self.rows[chunk] = 0
            self._hashes[chunk].update(text)
            self.rows[chunk] += 1
        return len(data)

    def digests(self) -> dict[int, str]:
        return {chunk: digest.hexdigest() for chunk, digest in self._hashes.items()}


def order_digests(cursor: CursorWrapper, *, import_id: int) -> RowDigests:
    """Digests of the orders of an import, from the database. In a transaction."""
    found = RowDigests()

    def take(row: bytes) -> tuple[int, bytes] | None:
        chunk, touched, text = row.split(b"\t", 2)
        if touched == b"1":
            found.note_changed(int(chunk))
            found.changed_ids.add(text.split(b"\t", 1)[0])
            return None
        return int(chunk), text

    return _run(cursor, queries.order_rows, {"import_id": import_id}, take, found)


def line_digests(
    cursor: CursorWrapper, *, import_id: int, line_base: int, bounds: Sequence[tuple[int, int]], changed_ids: set[bytes]
) -> RowDigests:
    """
    Digests of the lines of an import, from the database. In a transaction.

    Args:
        bounds: (first record, chunk number) in file order.
        changed_ids: orders that somebody changed since; their lines are counted apart.
    """
    found = RowDigests()

    def take(row: bytes) -> tuple[int, bytes] | None:
        bucket, text = row.split(b"\t", 1)
        chunk = bounds[max(0, int(bucket) - 1)][1]
        if changed_ids and text.split(b"\t", 1)[0] in changed_ids:
            found.note_changed(chunk)
            return None
        return chunk, text

    parameters = {"import_id": import_id, "line_base": line_base, "starts": [first for first, _ in bounds]}
    return _run(cursor, queries.line_rows, parameters, take, found)


def _run(
    cursor: CursorWrapper,
    query: str,
    parameters: dict[str, Any],
    take: Callable[[bytes], tuple[int, bytes] | None],
    found: RowDigests,
) -> RowDigests:
    raw = cursor.cursor
    cursor.execute("SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL work_mem = '64MB'")
    statement = raw.mogrify(query.rstrip(";"), parameters).decode()
    stream = _Stream(take)
    with cursor.db.wrap_database_errors:
        raw.copy_expert(f"COPY ({statement}) TO STDOUT", stream)
    found.digests, found.rows = stream.digests(), stream.rows
    return found
