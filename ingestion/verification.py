"""Check a certificate against the database: is everything still there, and as it was loaded?"""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.core import signing
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from ingestion import states
from ingestion.books import read_books
from ingestion.digests import RowDigests, line_digests, order_digests
from ingestion.errors import ImportNotFoundError
from ingestion.models import Import
from ingestion.recheck import Rechecker, SourceGoneError
from ingestion.stages.certify import (
    EMPTY_DIGEST,
    SALT,
    chunk_expectations,
    find_imbalances,
)

queries = load_queries("ingestion", "certify")


@dataclass
class Verdict:
    """
    What a check found.

    `problems` mean that something was lost or altered; `changed_since` counts rows that a known later change explains
    (a version that somebody made, another import that took rows over); `notes` say what could not be checked.
    """

    import_id: int
    state: str
    problems: list[str] = field(default_factory=list)
    changed_since: dict[str, int] = field(default_factory=dict)
    checked: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """Nothing was lost or altered."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        return {"balanced": self.balanced, **vars(self)}


def import_verify(*, import_id: int) -> Verdict:
    """
    Check one import: its ledger, its signature, and every row it wrote.

    Raises:
        ImportNotFoundError: there is none.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        owner = Import.objects.filter(pk=import_id).first()
        if owner is None:
            raise ImportNotFoundError(import_id=import_id)
        verdict = Verdict(import_id=import_id, state=owner.state)
        books = read_books(cursor, owner=owner)
        verdict.problems += find_imbalances(cursor, owner=owner, books=books)
        verdict.problems += _certificate_problems(owner, books)
        _errors(cursor, owner, books, verdict)
        _rows(cursor, owner, books, verdict)
        _references(cursor, owner, verdict)
    return verdict


def _certificate_problems(owner: Import, books: dict[str, Any]) -> list[str]:
    """The certificate is the one that was signed, and says what the chunks say."""
    if owner.certificate is None:
        return ["It ended without a certificate."] if owner.state in states.SUCCEEDED else []
    try:
        signed = signing.loads(owner.signature, salt=SALT)
    except signing.BadSignature:
        return ["The certificate's signature is not ours: certificate or SECRET_KEY were changed."]
    problems = []
    if signed != owner.certificate:
        problems.append("The certificate is not the one that was signed.")
    for name, number in {"records": books["records"], **books["outcomes"]}.items():
        if signed.get(name) != number:
            problems.append(f"The certificate counts {signed.get(name)} {name}, the chunks {number}.")
    return problems


def _errors(cursor: CursorWrapper, owner: Import, books: dict[str, Any], verdict: Verdict) -> None:
    cursor.execute(queries.errors_listed, {"import_id": owner.pk})
    listed = dict(cursor.fetchall())
    for code in sorted(set(listed) | set(books["errors"])):
        if listed.get(code, 0) != books["errors"].get(code, 0):
            verdict.problems.append(
                f"{books['errors'].get(code, 0):,} errors of {code} were counted, {listed.get(code, 0):,} are listed."
            )
    verdict.checked["rejects"] = books["outcomes"]["rejected"]


def _rows(cursor: CursorWrapper, owner: Import, books: dict[str, Any], verdict: Verdict) -> None:
    """
    Compare the rows with the chunks' digests; where they differ, compare row by row with the source.
    """
    bounds, chunks = chunk_expectations(cursor, import_id=owner.pk)
    orders = order_digests(cursor, import_id=owner.pk)
    lines = line_digests(
        cursor, import_id=owner.pk, line_base=owner.line_base, bounds=bounds, changed_ids=orders.changed_ids
    )
    cursor.execute(queries.displaced_elsewhere, {"import_id": owner.pk})
    displaced = dict(zip(("orders", "lines"), (int(number) for number in cursor.fetchone()), strict=True))
    found = {"orders": orders, "lines": lines}
    for kind, rows in found.items():
        changed = sum(rows.changed.values()) + displaced[kind]
        verdict.checked[kind] = sum(rows.rows.values()) + sum(rows.changed.values())
        if changed:
            verdict.changed_since[kind] = changed
    suspects = _suspects(chunks, found)
    if not suspects:
        _totals(books, found, displaced, verdict)
        return
    if not _recheck(cursor, owner, sorted(suspects), verdict):
        _totals(books, found, displaced, verdict)


def _recheck(cursor: CursorWrapper, owner: Import, suspects: list[int], verdict: Verdict) -> bool:
    """
    Compare suspicious chunks with the source; False when that is gone.

    Then the digests have the last word where nobody is known to have changed anything.
    """
    with TemporaryDirectory(prefix="sluice-verify-") as directory:
        rechecker = Rechecker(owner=owner, directory=Path(directory))
        for number in suspects:
            try:
                told = rechecker.check(cursor, number=number)
                if not told and not verdict.changed_since:
                    where = "a column that the file does not have (such as status), or in their lineage"
                    told = [f"Chunk {number}: rows differ from its digest in {where}."]
                verdict.problems += told
            except SourceGoneError as error:
                missing = f"Chunks {', '.join(map(str, suspects[:10]))} do not have the rows they were merged with"
                if verdict.changed_since:
                    verdict.notes.append(f"{missing}; later changes may be why. Only a count was possible: {error}")
                else:
                    verdict.problems.append(f"{missing}, and no later change explains it. Which rows: unknown, {error}")
                return False
    return True


def _suspects(chunks: dict[int, dict[str, Any]], found: dict[str, RowDigests]) -> set[int]:
    """Chunks whose rows are not what their digests say."""
    suspects = set()
    for number, chunk in chunks.items():
        if chunk["facts"]:
            for kind, rows in found.items():
                told = chunk["digests"].get(kind)
                if told != rows.digests.get(number, EMPTY_DIGEST) or number in rows.changed:
                    suspects.add(number)
    return suspects


def _totals(books: dict[str, Any], found: dict[str, RowDigests], displaced: dict[str, int], verdict: Verdict) -> None:
    """As many rows as the books say, less those that later imports took over."""
    facts = books["facts"]
    expected = {
        "orders": ("orders_inserted", "orders_updated", "orders_taken"),
        "lines": ("lines_inserted", "lines_updated"),
    }
    for kind, names in expected.items():
        wanted = sum(facts.get(name, 0) for name in names) - displaced[kind]
        present = verdict.checked[kind]
        # Whoever changes an order may drop lines of it; that is the order's own later history.
        if present != wanted and not (kind == "lines" and found["orders"].changed):
            verdict.problems.append(f"{wanted:,} {kind} were written by this import, {present:,} are there.")


def _references(cursor: CursorWrapper, owner: Import, verdict: Verdict) -> None:
    cursor.execute(queries.orders_without_user, {"import_id": owner.pk})
    for number, what in zip(
        cursor.fetchone(),
        ("orders have a user that does not exist", "lines have no order", "lines have an item that does not exist"),
        strict=True,
    ):
        if number:
            verdict.problems.append(f"{number:,} {what}.")
