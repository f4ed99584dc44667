"""A preview: what was detected about a file, and its first records as they would be loaded. Writes nothing."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from ingestion.prepare import Opened, open_and_detect
from ingestion.profiles import Profile, Settlement, SettlementError, settle
from ingestion.reader import plan, read_span
from ingestion.validation import FieldError, Validator


@dataclass(frozen=True)
class Prediction:
    """
    What would become of the records of the sample, as far as it can be told without the database.

    `errors`: how many there are of each code, the most frequent first.
    """

    records: int = 0
    rejected: int = 0
    ignored: int = 0
    errors: dict[str, int] = field(default_factory=dict)

    @property
    def valid(self) -> int:
        return self.records - self.rejected - self.ignored


@dataclass(frozen=True)
class Preview:
    """
    `settlement` is None where the columns could not be mapped; `problems` then says what is missing, and `records` hold
    the raw columns by name instead of the fields. `records`, `errors` and `ignored` are of the first `records_seen`
    records, `prediction` is of all records of the sample.
    """

    opened: Opened
    settlement: Settlement | None
    problems: list[str]
    records: list[dict[str, Any]]
    errors: list[FieldError]
    ignored: dict[str, int]
    records_seen: int
    prediction: Prediction = field(default_factory=Prediction)

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        settlement = self.settlement
        return {
            "source": self.opened.source.name,
            "kind": self.opened.source.kind,
            "bytes": self.opened.source.size,
            "dialect": self.opened.dialect.as_dict(),
            "evidence": self.opened.detection.evidence,
            "mapped": settlement is not None,
            "problems": self.problems,
            "settlement": settlement.as_dict() if settlement else None,
            "records_seen": self.records_seen,
            "records": [{name: _plain(value) for name, value in record.items()} for record in self.records],
            "errors": [vars_of(error) for error in self.errors],
            "ignored": self.ignored,
        }


def vars_of(error: FieldError) -> dict[str, Any]:
    """An error of the sample; its record number is 1-based."""
    return {
        "record": error.ordinal + 1,
        "column": error.column,
        "column_name": error.column_name,
        "code": error.code,
        "message": error.message,
        "value": error.value,
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int) else str(value)


def preview(path: str, *, profile: Profile, spool_directory: Path, records: int) -> Preview:
    """
    Look at the beginning of a file.

    Args:
        records: how many records to show.
    Raises:
        ingestion.reader.ReaderError: it cannot be opened, or no header was found.
    """
    opened = open_and_detect(path, profile=profile, spool_directory=spool_directory)
    return preview_opened(opened, profile=profile, records=records)


def preview_opened(opened: Opened, *, profile: Profile, records: int) -> Preview:
    """Look at the beginning of a source that was opened already; arguments as of `preview`."""
    try:
        settlement = settle(profile, opened.dialect, opened.tables)
    except SettlementError as error:
        problems = [str(problem) for problem in error.problems]
        return Preview(opened, None, problems, _raw_records(opened, records), [], {}, records)
    return _validated(opened, settlement, records)


def _raw_records(opened: Opened, records: int) -> list[dict[str, Any]]:
    names = opened.dialect.header
    rows = [row for table in opened.tables for row in table.head(records).iter_rows()][:records]
    return [dict(zip(names, row, strict=True)) for row in rows]


def _validated(opened: Opened, settlement: Settlement, records: int) -> Preview:
    """The first span of the sample, through the validator that an import uses."""
    dialect = opened.dialect
    head = opened.head
    span = next(iter(plan([head], dialect=dialect, target_bytes=len(head) or 1)), None)
    if span is None:
        return Preview(opened, settlement, [], [], [], {}, 0)
    batch = read_span(head[span.offset : span.offset + span.length], span=span, dialect=dialect)
    validated = Validator(settlement).validate(batch)
    # The last record of an incomplete sample may be cut off.
    whole = batch.records if opened.complete else max(1, batch.records - 1)
    seen = min(records, whole)
    frame = validated.frame.filter(pl.col("ordinal") < seen)
    told = [name for name in frame.columns if name != "ordinal" and frame.get_column(name).null_count() < frame.height]
    return Preview(
        opened=opened,
        settlement=settlement,
        problems=[],
        records=list(frame.select(told).iter_rows(named=True)),
        errors=[error for error in validated.errors if error.ordinal < seen],
        ignored={reason: int((ordinals < seen).sum()) for reason, ordinals in batch.ignored.items() if len(ordinals)},
        records_seen=seen,
        prediction=_predicted(
            [error for error in validated.errors if error.ordinal < whole],
            records=whole,
            ignored=sum(int((ordinals < whole).sum()) for ordinals in batch.ignored.values()),
        ),
    )


def _predicted(errors: list[FieldError], *, records: int, ignored: int) -> Prediction:
    by_code = Counter(error.code for error in errors)
    return Prediction(
        records=records,
        rejected=len({error.ordinal for error in errors}),
        ignored=ignored,
        errors=dict(sorted(by_code.items(), key=lambda entry: (-entry[1], entry[0]))),
    )
