"""Values that lost: within a file the earliest record wins, and what later records said otherwise is listed."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from ingestion.entities import ITEM_FIELDS, USER_FIELDS

LISTED_PER_CHUNK: Final = 1_000
"""A chunk lists at most so many distinct disagreements; it counts all."""

ORDER_FIELDS: Final = {name: name for name in ("user_id", "status", "ordered_at", "country", "currency")}

MIXER: Final = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, 6.4)."""

SCHEMA: Final = {
    "entity": pl.String,
    "key": pl.String,
    "field": pl.String,
    "kept": pl.String,
    "seen": pl.String,
    "ordinal": pl.Int64,
    "records": pl.Int64,
}


@dataclass(frozen=True)
class Subject:
    """Whose attributes are compared: the key column and {column of the frame: name of the attribute}."""

    entity: str
    key: str
    fields: dict[str, str]


SUBJECTS: Final = (
    Subject("user", "user_id", USER_FIELDS),
    Subject("item", "sku", ITEM_FIELDS),
    Subject("order", "order_id", ORDER_FIELDS),
)


def find(frame: pl.DataFrame, *, kept: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """
    Every value of the frame that differs from the one that won; blanks never disagree.

    Args:
        frame: valid records of a chunk, in file order.
        kept: by entity, rows (key, attributes as texts) that were stored before this chunk; for other keys the
            chunk's first record won.
    Returns:
        rows of `SCHEMA`, one per distinct (key, field, value); `records` says how many records told it.
    """
    found = [_of_subject(frame, subject, kept.get(subject.entity)) for subject in SUBJECTS]
    return pl.concat([part for part in found if part is not None] or [pl.DataFrame(schema=SCHEMA)])


def _of_subject(frame: pl.DataFrame, subject: Subject, kept: pl.DataFrame | None) -> pl.DataFrame | None:
    told = [column for column in subject.fields if frame.get_column(column).null_count() < frame.height]
    if not told or not _may_disagree(frame, subject, told, kept):
        return None
    names = [subject.fields[column] for column in told]
    records = frame.select(
        pl.col(subject.key).alias("key"),
        "ordinal",
        *(pl.col(column).cast(pl.String).fill_null("").alias(subject.fields[column]) for column in told),
    ).filter(pl.col("key").is_not_null())
    winners = records.unique("key", keep="first", maintain_order=True).drop("ordinal")
    if kept is not None and kept.height:
        stored = kept.select("key", *names)
        winners = pl.concat([stored, winners.join(stored, on="key", how="anti")])
    pairs = records.join(winners, on="key", suffix="_kept", maintain_order="left")
    return pl.concat([_of_field(pairs, subject, name) for name in names])


def _may_disagree(frame: pl.DataFrame, subject: Subject, told: list[str], kept: pl.DataFrame | None) -> bool:
    """A cheap test, by counting: as many (key, attributes) as keys means that all records of a key agree."""
    keys = frame.get_column(subject.key).hash()
    rows = keys
    for column in told:
        # Series hash faster one by one than as rows; the odd factor keeps equal columns from cancelling out.
        rows = rows * MIXER + frame.get_column(column).hash()
    if rows.n_unique() != keys.n_unique():
        return True
    if kept is None or not kept.height:
        return False
    names = [subject.fields[column] for column in told]
    firsts = frame.filter(pl.col(subject.key).is_first_distinct()).select(
        pl.col(subject.key).alias("key"),
        *(pl.col(column).cast(pl.String).fill_null("").alias(subject.fields[column]) for column in told),
    )
    return firsts.join(kept.select("key"), on="key", how="semi").join(kept, on=["key", *names], how="anti").height > 0


def _of_field(pairs: pl.DataFrame, subject: Subject, name: str) -> pl.DataFrame:
    kept, seen = pl.col(f"{name}_kept"), pl.col(name)
    return (
        pairs.filter((seen != "") & (seen != kept))
        .group_by("key", kept.alias("kept"), seen.alias("seen"), maintain_order=True)
        .agg(pl.col("ordinal").first(), pl.len().cast(pl.Int64).alias("records"))
        .select(
            pl.lit(subject.entity).alias("entity"),
            "key",
            pl.lit(name).alias("field"),
            "kept",
            "seen",
            "ordinal",
            "records",
        )
    )
