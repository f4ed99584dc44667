"""
Merge: all facts of one chunk in one transaction; chunks merge in any order.

The fast path COPYs orders and lines straight into their tables. If an order exists already, the transaction is
rolled back, the chunk waits until all lower chunks are done, and the set-wise path of `merge.sql` decides each order
on its own: so the outcome does not depend on which chunk came first.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import polars as pl
from django.db import IntegrityError, transaction
from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from ingestion.copying import copy_frame, query_frame, sha256
from ingestion.job import Claim, Job
from ingestion.validation import FieldError
from orders import states as order_states
from orders.events import AMENDED, keep_pending, placed_in_bulk, tell

queries = load_queries("ingestion", "merge")

REACHABLE: Final = json.dumps({state: sorted(targets) for state, targets in order_states.REACHABLE.items()})
PLAIN_COLUMNS: Final = ("id", "user_id", "status", "country", "currency", "order_id", "item_id")
OUTCOME_OF_CLASS: Final = {
    "new": "loaded",
    "spanning": "loaded",
    "update": "loaded",
    "unchanged": "unchanged",
    "skip": "skipped",
    "error": "rejected",
    "other_user": "rejected",
    "bad_transition": "rejected",
}
REFUSALS: Final = {
    "error": (
        "order_exists",
        "order_id",
        "An order with this id exists already. Load with --on-conflict skip or update, or give the order another id.",
    ),
    "other_user": (
        "order_exists",
        "user_id",
        "An order with this id exists already and belongs to another user; an order never changes its user.",
    ),
    "bad_transition": (
        "order_exists",
        "status",
        "The order exists already, and its status cannot become this one (placed → paid → shipped → delivered; "
        "cancelled from the first two).",
    ),
}


class OrdersCollideError(Exception):
    """Some order of the chunk exists already: the set-wise path must decide."""


@dataclass
class Merged:
    """
    What a merge did.

    `outcomes` counts records by outcome, without rejects; `errors` are the records that this stage refused;
    `displaced` counts rows taken over from other imports: {import id: {"orders": n, "lines": n}}; `changed_orders`
    are the ids of those that existed before and are different now.
    """

    outcomes: dict[str, int] = field(default_factory=dict)
    facts: dict[str, int] = field(default_factory=dict)
    errors: list[FieldError] = field(default_factory=list)
    displaced: dict[str, dict[str, int]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    header_disagreements: list[tuple[str, str, str, str]] = field(default_factory=list)
    demoted: list[int] = field(default_factory=list)
    changed_orders: list[str] = field(default_factory=list)


def order_headers(frame: pl.DataFrame) -> pl.DataFrame:
    """One row per order: its first record's header."""
    return frame.filter(pl.col("order_id").is_first_distinct()).select(
        pl.col("order_id").alias("id"),
        "user_id",
        "status",
        "ordered_at",
        "country",
        "currency",
        pl.col("record").alias("first_record"),
        "attributes",
    )


def order_lines(frame: pl.DataFrame, *, job: Job) -> pl.DataFrame:
    """One row per record. Without a mapped `line_no` the record's own number is the line's."""
    mapped = pl.col("line_no").is_not_null()
    return frame.select(
        "order_id",
        pl.coalesce(pl.col("line_no").cast(pl.Int64), pl.col("record") + job.line_base).alias("line_no"),
        pl.col("sku").alias("item_id"),
        "quantity",
        "unit_price",
        pl.when(mapped).then(pl.col("record")).alias("record"),
    )


def repeated_lines(frame: pl.DataFrame, *, job: Job) -> list[int]:
    """Ordinals of records whose order and line number an earlier record of the frame has."""
    if frame.get_column("line_no").null_count() == frame.height:
        return []
    # A record without a number of its own has the record's, which may be the one that another record gives.
    number = pl.coalesce(pl.col("line_no").cast(pl.Int64), pl.col("record") + job.line_base).alias("line_no")
    return frame.filter(~pl.struct("order_id", number).is_first_distinct()).get_column("ordinal").to_list()


def sorted_by(frame: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """Sort by key, unless it is sorted: files often are, and telling costs little."""
    head = frame.get_column(keys[0])
    if len(keys) == 1 and head.is_sorted():
        return frame
    return frame.sort(*keys)


def _copy(
    cursor: CursorWrapper,
    table: str,
    frame: pl.DataFrame,
    optional: str,
    constants: Mapping[str, int | str | None],
    plain: Collection[str],
) -> bytes:
    """COPY a frame whose column `optional` is often null throughout, and then is sent as a constant."""
    if frame.get_column(optional).null_count() == frame.height:
        frame, constants = frame.drop(optional), {optional: None, **constants}
    return copy_frame(cursor, table=table, frame=frame, constants=constants, plain=plain)


def merge_by_copy(
    cursor: CursorWrapper, *, job: Job, claim: Claim, frame: pl.DataFrame, now: datetime, escape_free: bool = False
) -> Merged:
    """
    Write orders and lines that do not exist yet.

    Args:
        cursor: in a transaction that holds the integrity gate; foreign-key triggers may be off in it.
        frame: valid and resolved records with the column `record` (number in the import).
        now: not used here: the rows get the time of the transaction by default.
        escape_free: no value has a character that COPY escapes (attributes aside).
    Raises:
        OrdersCollideError: some order exists; the caller rolls back.
    """
    headers = order_headers(frame)
    orders = sorted_by(headers, "id").select(
        "id",
        "user_id",
        pl.col("status").fill_null(order_states.PLACED),
        "ordered_at",
        pl.col("country").fill_null(""),
        pl.col("currency").fill_null(""),
        pl.col("first_record").alias("import_record"),
        "attributes",
    )
    lineage = {"version": 1, "import_version": 1, "import_id": job.import_id, "import_chunk": claim.number}
    lines = sorted_by(order_lines(frame, job=job), "order_id", "line_no")
    plain = PLAIN_COLUMNS if escape_free else ()
    try:
        with transaction.atomic():
            order_text = _copy(cursor, "orders_order", orders, "attributes", lineage, plain)
    except IntegrityError as error:
        raise OrdersCollideError from error
    line_text = _copy(cursor, "orders_orderline", lines, "record", {"import_id": job.import_id}, plain)
    placed = headers.get_column("id").to_list()
    placed_in_bulk(cursor, order_ids=placed, source=f"import:{job.import_id}/{claim.number}")
    digests = {"lines": sha256(line_text)}
    if headers.get_column("attributes").null_count() == headers.height:
        digests["orders"] = sha256(order_text)
    return Merged(
        outcomes={"loaded": frame.height},
        facts={"orders_inserted": orders.height, "lines_inserted": lines.height},
        digests=digests,
    )


def merge_by_sets(
    cursor: CursorWrapper, *, job: Job, claim: Claim, frame: pl.DataFrame, now: datetime, escape_free: bool = False
) -> Merged:
    """
    Write orders and lines of which some exist. Arguments as for `merge_by_copy`.

    All lower chunks must be done.
    """
    values: dict[str, Any] = {
        "import_id": job.import_id,
        "chunk": claim.number,
        "now": now,
        "policy": job.on_conflict,
        "reachable": REACHABLE,
        "replace_lines": job.profile.rules.replace_lines,
        "line_base": job.line_base,
    }
    cursor.execute(queries.stage_create)
    copy_frame(cursor, table="merge_order", frame=sorted_by(order_headers(frame), "id"))
    copy_frame(cursor, table="merge_line", frame=order_lines(frame, job=job).sort("order_id", "line_no"))
    cursor.execute("ANALYZE merge_order; ANALYZE merge_line")
    for step in ("orders_lock", "orders_classify", "orders_classify_new", "lines_classify", "orders_unchanged"):
        cursor.execute(getattr(queries, step), values)
    cursor.execute(queries.spanning_unchanged, values)
    merged = Merged()
    _note_displaced(cursor, values, merged)
    _note_disagreements(cursor, values, merged)
    classes = query_frame(cursor, query=queries.classes, parameters={})
    placed, amended = _to_tell(frame, classes)
    source = f"import:{job.import_id}/{claim.number}"
    merged.changed_orders = [order_id for order_id, _ in amended]
    # As they were before this merge.
    keep_pending(cursor, order_ids=merged.changed_orders, source=source)
    _write(cursor, values, merged, job=job)
    _account(cursor, merged, frame=frame, classes=classes, job=job)
    placed_in_bulk(cursor, order_ids=placed, source=source)
    tell(cursor, orders=amended, type=AMENDED, source=source)
    return merged


def _note_displaced(cursor: CursorWrapper, values: dict[str, Any], merged: Merged) -> None:
    for kind, query in (("orders", queries.orders_displaced), ("lines", queries.lines_displaced)):
        cursor.execute(query, values)
        for other, number in cursor.fetchall():
            merged.displaced.setdefault(str(other or 0), {})[kind] = number


def _note_disagreements(cursor: CursorWrapper, values: dict[str, Any], merged: Merged) -> None:
    """Headers told differently by two chunks: the lower record's values are the ones kept."""
    cursor.execute(queries.orders_disagreeing, values)
    for order_id, theirs, ours, their_record, our_record in cursor.fetchall():
        theirs, ours = (value if isinstance(value, dict) else json.loads(value) for value in (theirs, ours))
        kept, seen = (theirs, ours) if their_record < our_record else (ours, theirs)
        merged.header_disagreements += [
            (order_id, name, kept[name], seen[name]) for name in kept if seen[name] not in ("", kept[name])
        ]


def _write(cursor: CursorWrapper, values: dict[str, Any], merged: Merged, *, job: Job) -> None:
    cursor.execute(queries.line_counts)
    inserted, updated, taken_within = cursor.fetchone()
    cursor.execute(queries.lines_demoted, values)
    merged.demoted = [record for (record,) in cursor.fetchall()]
    cursor.execute(queries.orders_taken_from_chunks, values)
    chunks = [number for (number,) in cursor.fetchall()]
    if chunks:
        cursor.execute(queries.digests_clear, {**values, "kind": "orders", "numbers": chunks})
    cursor.execute(queries.orders_seen_add, values)
    counts = {}
    for name, query in (
        ("orders_inserted", queries.orders_insert),
        ("orders_updated", queries.orders_update),
        ("orders_continued", queries.orders_span_touch),
    ):
        cursor.execute(query, values)
        counts[name] = cursor.rowcount
    cursor.execute(queries.orders_new)
    if cursor.fetchone()[0] != counts["orders_inserted"]:
        raise OrdersCollideError
    if job.profile.rules.replace_lines:
        cursor.execute(queries.lines_absent_delete, values)
        removed = [other for (other,) in cursor.fetchall()]
        counts["lines_deleted"] = len(removed)
        for other in removed:
            of_other = merged.displaced.setdefault(str(other or 0), {})
            of_other["lines"] = of_other.get("lines", 0) + 1
    cursor.execute(queries.lines_write, values)
    cursor.execute(queries.orders_taken)
    counts["orders_taken"] = cursor.fetchone()[0]
    counts["lines_inserted"] = inserted + taken_within
    counts["lines_updated"] = updated - taken_within
    merged.facts = {name: number for name, number in counts.items() if number}


def _account(cursor: CursorWrapper, merged: Merged, *, frame: pl.DataFrame, classes: pl.DataFrame, job: Job) -> None:
    """Give each record its outcome."""
    cursor.execute(queries.losers, {"line_base": job.line_base})
    losers = [record for (record,) in cursor.fetchall()]
    records = frame.select("ordinal", "order_id", "record").join(
        classes.select(pl.col("id").alias("order_id"), "class"), on="order_id", maintain_order="left"
    )
    lost = records.filter(pl.col("record").is_in(losers))
    records = records.filter(~pl.col("record").is_in(losers))
    for name, number in records.group_by("class").len().iter_rows():
        outcome = OUTCOME_OF_CLASS[name]
        if outcome != "rejected":
            merged.outcomes[outcome] = merged.outcomes.get(outcome, 0) + number
    refused = records.filter(pl.col("class").is_in(list(REFUSALS)))
    for ordinal, order_id, name in refused.select("ordinal", "order_id", "class").iter_rows():
        code, column, message = REFUSALS[name]
        merged.errors.append(FieldError(ordinal, None, column, code, message, order_id))
    if job.profile.rules.duplicates == "skip":
        merged.outcomes["skipped"] = merged.outcomes.get("skipped", 0) + lost.height
    else:
        merged.errors += [duplicate_line(ordinal) for ordinal in lost.get_column("ordinal")]
    merged.outcomes = {name: number for name, number in merged.outcomes.items() if number}


def duplicate_line(ordinal: int) -> FieldError:
    """The error of a record whose order id and line number an earlier record has."""
    message = "An earlier record has the same order id and line number. Number the lines of an order apart."
    return FieldError(ordinal, None, "line_no", "duplicate_line", message, None)


def _to_tell(frame: pl.DataFrame, classes: pl.DataFrame) -> tuple[list[str], list[tuple[str, int]]]:
    """
    In file order: ids of newly placed orders, told in one bulk entry; and changed ones with their new versions, each
    told on its own.
    """
    firsts = frame.filter(pl.col("order_id").is_first_distinct()).select(pl.col("order_id").alias("id"))
    told = firsts.join(classes, on="id", maintain_order="left")
    placed = told.filter(pl.col("class") == "new").get_column("id").to_list()
    amended = told.filter(pl.col("class").is_in(["update", "spanning"]))
    return placed, [(order_id, int(version)) for order_id, version in amended.select("id", "version").iter_rows()]
