"""
A dry run: the very pipeline, against temporary tables that stand in front of the real ones.

Temporary tables come first in PostgreSQL's search path, so the same SQL works on them. Before a chunk is resolved, the
real users, items and orders that it touches are copied in. So the prediction is made by the code that would load, while
the real tables are only read, nothing is logged to the WAL, and no lock outlives a statement.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg2 import sql

from config.kernel.sql import load_queries
from ingestion.changes import NoMarks
from ingestion.clock import utc_now
from ingestion.copying import joined
from ingestion.models import Import, Source as SourceRow
from ingestion.profiles import Profile
from ingestion.rejectfiles import write_reject_files
from ingestion.selectors import Progress, import_progress, reject_examples
from ingestion.services import PreparedSource, import_find_or_create, import_start, job_of
from ingestion.stages.certify import import_certify
from ingestion.stages.plan import Planner, PlanStoppedError
from ingestion.worker import ChunkWorker, open_for_work

queries = load_queries("ingestion", "dryrun")

SHADOWED: Final = (
    "accounts_user",
    "accounts_rolemembership",
    "orders_item",
    "orders_order",
    "orders_orderline",
    "outbox_entry",
    "outbox_receipt",
    "ingestion_import",
    "ingestion_source",
    "ingestion_chunk",
    "ingestion_reject",
    "ingestion_disagreement",
    "ingestion_orderseen",
    "ingestion_badorder",
)
DRY_RUN_ID: Final = -1
"""No real import has this id, so no real order looks as if this import had made it."""


class DryRunStoppedError(Exception):
    """It was asked to stop."""


@dataclass(frozen=True)
class DryRun:
    """What an import would do; `certificate` has `dry_run` true and no import id."""

    certificate: dict[str, Any]
    examples: list[dict[str, Any]]
    files: list[Path]


def dry_run(
    *,
    sources: list[PreparedSource],
    profile: Profile,
    parent_id: int | None,
    show: Callable[[Progress], None],
    directory: Path | None,
    created_by_id: str | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> DryRun:
    """
    Predict an import, in this process and on this connection.

    Args:
        show: called after each chunk.
        directory: where the reject files go; None: none are written.
        created_by_id: whose rights limit what a roles column may give; None: the operator's shell.
        stop: asked between steps.
    Raises:
        DryRunStoppedError: `stop` said so.
    """
    try:
        with connection.cursor() as cursor:
            _put_shadows(cursor)
            _bring_family(cursor, parent_id)
            _bring_grantor(cursor, created_by_id)
        return _predict(
            sources=sources,
            profile=profile,
            parent_id=parent_id,
            created_by_id=created_by_id,
            show=show,
            directory=directory,
            stop=stop,
        )
    except PlanStoppedError as error:
        raise DryRunStoppedError from error
    finally:
        # Temporary tables go with their connection.
        connection.close()


def _predict(
    *,
    sources: list[PreparedSource],
    profile: Profile,
    parent_id: int | None,
    created_by_id: str | None,
    show: Callable[[Progress], None],
    directory: Path | None,
    stop: Callable[[], bool],
) -> DryRun:
    owner, _ = import_find_or_create(
        sources=sources,
        profile=profile,
        parent_id=parent_id,
        force=True,
        created_by_id=created_by_id,
        now=utc_now(),
        import_id=DRY_RUN_ID,
    )
    import_start(import_id=owner.pk, now=utc_now())
    owner.refresh_from_db()
    Planner(owner=owner, now=utc_now, running=lambda: not stop()).run()
    opened = {row.number: open_for_work(row) for row in SourceRow.objects.filter(owner=owner)}
    ChunkWorker(
        job=job_of(owner),
        sources=opened,
        name="dry run",
        now=utc_now,
        stop=stop,
        before_resolve=bring_in,
        after_chunk=lambda: show(import_progress(import_id=owner.pk)),
        heartbeat=None,
        changes=NoMarks(),
    ).run()
    if stop():
        raise DryRunStoppedError
    certificate = import_certify(import_id=owner.pk, now=utc_now(), active_seconds=0)
    files = []
    if directory is not None and certificate["rejected"]:
        files = write_reject_files(owner=Import.objects.get(pk=owner.pk), directory=directory)
    examples = reject_examples(import_id=owner.pk)
    return DryRun(certificate={**certificate, "import_id": None, "dry_run": True}, examples=examples, files=files)


def _put_shadows(cursor: CursorWrapper) -> None:
    cursor.execute("SELECT current_schema()")
    (schema,) = cursor.fetchone()
    for table in SHADOWED:
        statement = sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {} INCLUDING ALL)")
        cursor.execute(statement.format(sql.Identifier(table), sql.Identifier(schema, table)))
        cursor.execute(queries.identity_columns, {"table": table})
        for (column,) in cursor.fetchall():
            # The copy counts from 1 again and would meet the ids of real rows.
            restart = sql.SQL("ALTER TABLE pg_temp.{} ALTER COLUMN {} RESTART WITH 4611686018427387904")
            cursor.execute(restart.format(sql.Identifier(table), sql.Identifier(column)))
        cursor.execute(queries.numbered_columns, {"table": table})
        for (column,) in cursor.fetchall():
            _number_apart(cursor, table, column)


def _number_apart(cursor: CursorWrapper, table: str, column: str) -> None:
    """Give a copy a sequence of its own: to take numbers from the real one would be to write."""
    name = f"{table}_{column}_shadow"
    cursor.execute(sql.SQL("CREATE TEMPORARY SEQUENCE {}").format(sql.Identifier(name)))
    default = sql.SQL("ALTER TABLE pg_temp.{} ALTER COLUMN {} SET DEFAULT nextval({})")
    cursor.execute(default.format(sql.Identifier(table), sql.Identifier(column), sql.Literal(f"pg_temp.{name}")))


def _bring_family(cursor: CursorWrapper, parent_id: int | None) -> None:
    if parent_id is not None:
        for query in (queries.bring_imports, queries.bring_chunks):
            cursor.execute(_located(cursor, query), {"parent": parent_id})


def _bring_grantor(cursor: CursorWrapper, created_by_id: str | None) -> None:
    """The person's own roles decide which roles the file may give."""
    if created_by_id is not None:
        cursor.execute(_located(cursor, queries.bring_memberships), {"users": created_by_id})


def bring_in(cursor: CursorWrapper, frame: pl.DataFrame) -> None:
    """Copy the real rows that these records may meet in front of them."""
    parameters = {
        "users": joined(frame.get_column("user_id").drop_nulls().unique()),
        "emails": joined(frame.get_column("user_email").drop_nulls().unique()),
        "items": joined(frame.get_column("sku").unique()),
        "orders": joined(frame.get_column("order_id").unique()),
    }
    for name in ("bring_users", "bring_memberships", "bring_items", "bring_orders", "bring_lines"):
        cursor.execute(_located(cursor, getattr(queries, name)), parameters)


def _located(cursor: CursorWrapper, query: str) -> str:
    """Name the real tables by their schema: `real.` in the query stands for it."""
    cursor.execute("SELECT quote_ident(current_schema())")
    return query.replace("real.", f"{cursor.fetchone()[0]}.")
