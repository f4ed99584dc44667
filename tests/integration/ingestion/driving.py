"""Drive the pipeline in this process, on small chunks and in whatever order a test wishes."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from ingestion.clock import utc_now
from ingestion.job import Claim
from ingestion.models import Import, Source as SourceRow
from ingestion.prepare import prepare
from ingestion.profiles import Profile, load_profile
from ingestion.queue import chunk_claim, unfinished_below
from ingestion.services import import_find_or_create, import_start, job_of
from ingestion.stages import plan as plan_module
from ingestion.stages.certify import import_certify
from ingestion.stages.plan import Planner
from ingestion.stages.resolve import Resolution
from ingestion.worker import ChunkWorker, Work, open_for_work
from ingestion.worker.turns import Turns

HEADER = ("order_id", "user_id", "sku", "quantity")
EMPTIED = (
    "accounts_rolemembership", "orders_orderline", "orders_order", "orders_item", "accounts_user", "outbox_entry",
    "outbox_receipt", "ingestion_reject", "ingestion_disagreement", "ingestion_orderseen", "ingestion_badorder",
    "ingestion_chunk", "ingestion_source", "ingestion_import",
)  # fmt: skip
TRIGGERS = {"orders_order": "orders_order_truncate", "orders_item": "orders_item_truncate"}


class TooEarlyError(Exception):
    """The merge would wait for lower chunks."""


def empty_tables() -> None:
    """Orders and items refuse TRUNCATE, so their triggers stand aside for a moment."""
    with connection.cursor() as cursor:
        for table, trigger in TRIGGERS.items():
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
        cursor.execute(f"TRUNCATE {', '.join(EMPTIED)} RESTART IDENTITY CASCADE")
        for table, trigger in TRIGGERS.items():
            cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")


def csv_bytes(rows: Iterable[Sequence[object]], header: Sequence[str] = HEADER) -> bytes:
    """A CSV as a spreadsheet would write it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()


def profile_with(**rules: Any) -> Profile:
    """The built-in profile with some rules changed."""
    return load_profile("sluice").with_rules(**rules)


@dataclass
class Schedule:
    """
    In which order things happen.

    Args:
        seed: None: every chunk from beginning to end before the next; else at random, as far as the rules allow.
        workers: so many workers take turns, each with a memory of its own.
        target_bytes: size of the chunks.
    """

    seed: int | None = None
    workers: int = 1
    target_bytes: int = 120


@dataclass
class Driver:
    """Loads files chunk by chunk."""

    directory: Path
    monkeypatch: pytest.MonkeyPatch
    count: int = 0
    paths: list[Path] = field(default_factory=list)

    def prepare(
        self,
        contents: Sequence[bytes],
        *,
        profile: Profile | None = None,
        parent_id: int | None = None,
        target_bytes: int = 120,
        created_by_id: str | None = None,
    ) -> Import:
        """Files, an import of them that is running, and its chunks."""
        profile = profile or profile_with()
        self.paths = [self._write(content) for content in contents]
        prepared = prepare([str(path) for path in self.paths], profile=profile, spool_directory=self.directory)
        owner, _ = import_find_or_create(
            sources=prepared,
            profile=profile,
            parent_id=parent_id,
            force=True,
            now=utc_now(),
            created_by_id=created_by_id,
        )
        import_start(import_id=owner.pk, now=utc_now())
        owner.refresh_from_db()
        self.monkeypatch.setattr(plan_module, "CHUNK_BYTES", target_bytes)
        self.monkeypatch.setattr(plan_module, "SMALLEST_CHUNK_BYTES", target_bytes)
        Planner(owner=owner, now=utc_now, running=lambda: True).run()
        return owner

    def worker(self, owner: Import, name: str = "test") -> ChunkWorker:
        """A worker with an empty memory."""
        sources = {row.number: open_for_work(row) for row in SourceRow.objects.filter(owner=owner)}
        return ChunkWorker(job=job_of(owner), sources=sources, name=name, now=utc_now, heartbeat=None)

    def load(self, *contents: bytes, schedule: Schedule | None = None, **options: Any) -> dict[str, Any]:
        """Load files to the end; returns the certificate."""
        schedule = schedule or Schedule()
        owner = self.prepare(contents, target_bytes=schedule.target_bytes, **options)
        if schedule.seed is None:
            self.worker(owner).run()
        else:
            self._shuffled(owner, random.Random(schedule.seed), workers=schedule.workers)
        return import_certify(import_id=owner.pk, now=utc_now(), active_seconds=1)

    def _shuffled(self, owner: Import, chance: random.Random, *, workers: int) -> None:
        """Resolve in file order, merge at random; a merge that has to wait is tried again later."""
        crew = [self.worker(owner, f"worker {number}") for number in range(workers)]
        claims = self._claims(owner)
        resolved: list[tuple[ChunkWorker, Work, Resolution]] = []
        with self.monkeypatch.context() as patch:
            patch.setattr(Turns, "wait", _no_waiting)
            while claims or resolved:
                two_passes = crew[0]._job.two_passes
                if claims and (two_passes or not resolved or chance.random() < 0.6):
                    member, claim = chance.choice(crew), claims.pop(0)
                    work = member.reader.read(claim)
                    resolution = member.resolver.resolve(work)
                    assert not isinstance(resolution, str), "an error limit tripped"
                    resolved.append((member, work, resolution))
                    continue
                number = chance.randrange(len(resolved))
                try:
                    resolved[number][0].merger.merge(*resolved[number][1:])
                except TooEarlyError:
                    continue
                del resolved[number]

    def _claims(self, owner: Import) -> list[Claim]:
        claims = []
        while (claim := chunk_claim(job=job_of(owner), worker="test")) is not None:
            claims.append(claim)
        return claims

    def _write(self, content: bytes) -> Path:
        self.count += 1
        path = self.directory / f"{self.count}.csv"
        path.write_bytes(content)
        return path


def _no_waiting(_turns: Turns, claim: Claim, *, resolved: bool) -> None:
    if unfinished_below(claim=claim, resolved=resolved) is not None:
        raise TooEarlyError


def rows(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of a query on the test's database."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters or None)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


FACTS = {
    "users": "SELECT id, email, name, age, country FROM accounts_user ORDER BY id",
    "items": "SELECT sku, name FROM orders_item ORDER BY sku",
    "roles": """SELECT user_id, r.slug FROM accounts_rolemembership JOIN accounts_role r ON r.id = role_id
                ORDER BY 1, 2""",
    "orders": "SELECT id, user_id, status, ordered_at, country, currency, attributes FROM orders_order ORDER BY id",
    "lines": "SELECT order_id, line_no, item_id, quantity, unit_price FROM orders_orderline ORDER BY 1, 2",
}
LINEAGE = {
    "users": "SELECT id, import_id, import_chunk, version FROM accounts_user ORDER BY id",
    "orders": """SELECT id, version, import_version, import_id, import_chunk, import_record
                 FROM orders_order ORDER BY id""",
    "lines": "SELECT order_id, line_no, import_id, record FROM orders_orderline ORDER BY 1, 2",
    "rejects": """SELECT import_id, record, position, chunk, line, "offset", length, column_number, column_name, code,
                         message, value, raw::text FROM ingestion_reject ORDER BY import_id, record, position""",
}
COUNTS = ("loaded", "unchanged", "skipped", "rejected", "ignored", "unprocessed", "ignored_reasons", "errors")


def facts() -> dict[str, list[tuple[Any, ...]]]:
    """What was loaded, without its lineage: equal however the file was cut."""
    return {name: rows(query) for name, query in FACTS.items()}


def everything() -> dict[str, Any]:
    """What was loaded and where from: equal for the same chunks, whoever worked on them in whatever order."""
    told = {name: rows(query) for name, query in LINEAGE.items()}
    return {"facts": facts(), "lineage": told}


def without_times(certificate: dict[str, Any]) -> dict[str, Any]:
    """What of a certificate must not depend on who worked when."""
    dropped = ("started_at", "ended_at", "seconds", "records_per_second", "bytes_per_second", "sources")
    return {name: value for name, value in certificate.items() if name not in dropped}
