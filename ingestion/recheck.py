"""Compare what a chunk's records say with the rows in the database, one by one."""

import hashlib
from pathlib import Path
from typing import Final

import polars as pl
from django.db.backends.utils import CursorWrapper

from config.kernel.sql import load_queries
from ingestion.copying import joined, query_frame
from ingestion.job import Claim
from ingestion.models import Chunk, Import, Reject, Source as SourceRow
from ingestion.reader import ReaderError
from ingestion.services import job_of
from ingestion.stages.merge import order_headers, order_lines
from ingestion.stages.resolve import without_ordinals
from ingestion.worker import OpenSource, open_for_work
from ingestion.worker.reading import ChunkReader

queries = load_queries("ingestion", "recheck")

HEADER_COLUMNS: Final = ("user_id", "status", "country", "currency", "ordered_at")
NAMED: Final = 3
"""So many rows are named in a sentence; the others are counted."""


class SourceGoneError(Exception):
    """The bytes that were imported are not there any more."""


class Rechecker:
    """
    Compares chunks of one import with their source, as long as that is there.

    Args:
        directory: an empty one for decompressed copies; the caller removes it.
    """

    def __init__(self, *, owner: Import, directory: Path) -> None:
        self._owner = owner
        self._directory = directory
        self._opened: dict[int, OpenSource] = {}

    def check(self, cursor: CursorWrapper, *, number: int) -> list[str]:
        """
        Read a chunk's records again and look for each of them in the database.

        A row whose order somebody changed since (a later version, another import) is not compared.

        Returns:
            what was lost or altered, as sentences.
        Raises:
            SourceGoneError: its source was moved, changed or deleted.
        """
        row = Chunk.objects.get(owner=self._owner, number=number)
        return recheck_chunk(cursor, owner=self._owner, row=row, origin=self._open(row.source))

    def _open(self, number: int) -> OpenSource:
        if number not in self._opened:
            row = SourceRow.objects.get(owner=self._owner, number=number)
            try:
                self._opened[number] = self._same_bytes(row)
            except ReaderError as error:
                raise SourceGoneError(str(error)) from error
        return self._opened[number]

    def _same_bytes(self, row: SourceRow) -> OpenSource:
        """The source, after its SHA-256 was compared; unpacked again where it is compressed."""
        if "upload" not in row.descriptor:
            if not row.descriptor["path"]:
                raise SourceGoneError(f"{row.name} cannot be read twice.")
            row.descriptor = {**row.descriptor, "spool": str(self._directory / f"{row.number}.spool")}
        source = open_for_work(row)
        digest = hashlib.sha256()
        for block in source.source.blocks():
            digest.update(block)
        if digest.hexdigest() != row.sha256:
            raise SourceGoneError(f"{row.name} is not the file that was imported.")
        return source


def recheck_chunk(cursor: CursorWrapper, *, owner: Import, row: Chunk, origin: OpenSource) -> list[str]:
    """Compare one chunk; see `Rechecker.check`."""
    number = row.number
    frame = _frame(owner, row, origin)
    lines = order_lines(frame, job=job_of(owner))
    parameters = {
        "line_base": owner.line_base,
        "import_id": owner.pk,
        "ids": joined(lines.get_column("order_id").unique()),
    }
    stored_orders = query_frame(cursor, query=queries.orders_now, parameters=parameters)
    stored_lines = query_frame(cursor, query=queries.lines_now, parameters=parameters)
    return [
        *_compare_orders(order_headers(frame), stored_orders, owner=owner, number=number),
        *_compare_lines(lines, stored_lines, stored_orders, line_base=owner.line_base, number=number),
    ]


def _frame(owner: Import, row: Chunk, origin: OpenSource) -> pl.DataFrame:
    """The records of the chunk that were loaded, as the merge saw them."""
    claim = Claim(
        id=row.pk,
        import_id=owner.pk,
        number=row.number,
        source=row.source,
        offset=row.offset,
        length=row.length,
        first_record=row.first_record,
        records=row.records,
        first_line=row.first_line,
        lines=row.lines,
        quoting=row.quoting,
        token=0,
        attempts=0,
        resolved=True,
    )
    work = ChunkReader(job=job_of(owner), sources={row.source: origin}).read(claim)
    rejected = Reject.objects.filter(owner=owner, chunk=row.number, position=0).values_list("record", flat=True)
    return without_ordinals(work.frame, {record - row.first_record for record in rejected})


def _compare_orders(headers: pl.DataFrame, stored: pl.DataFrame, *, owner: Import, number: int) -> list[str]:
    pairs = headers.select(
        "id",
        *(pl.col(name).cast(pl.String) for name in ("user_id", "status", "country", "currency")),
        pl.col("ordered_at").dt.strftime("%Y-%m-%d %H:%M:%S.%6f"),
    ).join(stored, on="id", how="left", suffix="_now", maintain_order="left")
    lost = pairs.filter(pl.col("changed").is_null())
    ours = pairs.filter((pl.col("changed") == "0") & (pl.col("chunk") == str(number)))
    altered = ours.filter(
        pl.any_horizontal(
            pl.col(name).is_not_null() & (pl.col(name) != pl.col(f"{name}_now")) for name in HEADER_COLUMNS
        )
    )
    return _sentences("orders", "lost", lost.get_column("id"), number) + _sentences(
        "orders", "altered", altered.get_column("id"), number
    )


def _compare_lines(
    lines: pl.DataFrame, stored: pl.DataFrame, orders: pl.DataFrame, *, line_base: int, number: int
) -> list[str]:
    told = lines.select(
        "order_id",
        pl.coalesce("record", pl.col("line_no") - line_base).alias("told_by"),
        pl.col("line_no").cast(pl.String),
        "item_id",
        pl.col("quantity").cast(pl.String),
        pl.col("unit_price").cast(pl.String).fill_null(""),
    )
    pairs = told.join(stored, on=["order_id", "line_no"], how="left", suffix="_now", maintain_order="left").join(
        orders.select(pl.col("id").alias("order_id"), "changed"), on="order_id", how="left", maintain_order="left"
    )
    pairs = pairs.filter(pl.col("changed") == "0").with_columns(
        (pl.col("order_id") + "/" + pl.col("line_no")).alias("name")
    )
    lost = pairs.filter(pl.col("item_id_now").is_null())
    # A line that an earlier record of the same number won is that record's to answer for.
    ours = (pl.col("ours") == "1") & (pl.col("told_by") == pl.col("record").cast(pl.Int64))
    kept = pairs.filter(pl.col("item_id_now").is_not_null() & ours)
    altered = kept.filter(
        (pl.col("item_id") != pl.col("item_id_now"))
        | (pl.col("quantity") != pl.col("quantity_now"))
        | ((pl.col("unit_price") != "") & (pl.col("unit_price") != pl.col("unit_price_now")))
    )
    return _sentences("lines", "lost", lost.get_column("name"), number) + _sentences(
        "lines", "altered", altered.get_column("name"), number
    )


def _sentences(kind: str, what: str, names: pl.Series, number: int) -> list[str]:
    if names.is_empty():
        return []
    shown = ", ".join(names.head(NAMED).to_list()) + (", …" if names.len() > NAMED else "")
    return [f"Chunk {number}: {names.len():,} {kind} were {what} ({shown})."]
