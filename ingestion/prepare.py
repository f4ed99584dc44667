"""Before an import: open the sources, detect how they are written, settle columns and formats."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from ingestion.opening import MAX_DECOMPRESSED_BYTES, MAX_RATIO
from ingestion.profiles import FIELDS, Profile, Settlement, settle
from ingestion.reader import ByteSource, Dialect, DialectOverrides, detect, open_source, plan, read_span
from ingestion.reader.detect import Detection
from ingestion.services import PreparedSource

SAMPLE_BYTES: Final = 1 << 20
WHOLE_FILE_BYTES: Final = 64 << 20
"""A file up to this size is judged as a whole for its encoding; a longer one by samples from all over it."""
SAMPLES: Final = 24


@dataclass(frozen=True)
class Opened:
    """
    A source with what was detected about it, before columns and formats are settled.

    `head` is its first bytes, all of them if `complete`; `tables` are their well-formed records.
    """

    source: ByteSource
    detection: Detection
    tables: list[pl.DataFrame]
    head: bytes
    complete: bool

    @property
    def dialect(self) -> Dialect:
        """How the source is written."""
        return self.detection.dialect


def open_and_detect(path: str, *, profile: Profile, spool_directory: Path, shown_name: str | None = None) -> Opened:
    """
    Open one source and find out how it is written.

    Args:
        path: of a file; compression is told by its content.
        spool_directory: where decompressed copies go.
        shown_name: what to call it (standard input was spooled to a file of another name).
    Raises:
        ingestion.reader.ReaderError: it cannot be opened or read.
    """
    source = open_source(
        path, spool_directory=spool_directory, max_decompressed_bytes=MAX_DECOMPRESSED_BYTES, max_ratio=MAX_RATIO
    )
    source.name = shown_name or source.name
    return detect_source(source, profile=profile)


def detect_source(source: ByteSource, *, profile: Profile, more_to_come: bool = False) -> Opened:
    """
    Find out how a source is written, wherever its bytes are.

    Args:
        more_to_come: it is still being uploaded, so what looks like its end may be cut off anywhere.
    Raises:
        ingestion.reader.ReaderError: it cannot be read.
    """
    whole = source.head(WHOLE_FILE_BYTES)
    head = whole[:SAMPLE_BYTES]
    complete = len(whole) <= SAMPLE_BYTES and not more_to_come
    reading = profile.reading
    detection = detect(
        head,
        complete=complete,
        overrides=DialectOverrides(
            encoding=reading.encoding,
            delimiter=reading.delimiter,
            quote=reading.quote,
            escape=reading.escape,
            header_row=reading.header_row,
            has_header=reading.has_header,
            columns=reading.columns or None,
        ),
        more_samples=_later(source, whole, more_to_come=more_to_come),
        known_names=_known_names(profile),
    )
    tables = _tables(head, detection.dialect, complete=complete)
    return Opened(source=source, detection=detection, tables=tables, head=head, complete=complete)


def _later(source: ByteSource, whole: bytes, *, more_to_come: bool) -> list[bytes]:
    """Bytes from later places, to judge the encoding by."""
    if len(whole) < WHOLE_FILE_BYTES or source.size is None or more_to_come:
        return [whole[SAMPLE_BYTES:]] if len(whole) > SAMPLE_BYTES else []
    step = source.size // (SAMPLES + 1)
    return [source.read(step * number, 1 << 16) for number in range(1, SAMPLES)]


def _known_names(profile: Profile) -> list[str]:
    names = set(FIELDS)
    for columns in profile.mapping.values():
        names.update(columns)
    return sorted(names)


def _tables(head: bytes, dialect: Dialect, *, complete: bool) -> list[pl.DataFrame]:
    """Well-formed records of the sample; the last span of an incomplete one may be cut and is left out."""
    spans = list(plan([head], dialect=dialect, target_bytes=1 << 18))
    usable = spans if complete or len(spans) < 2 else spans[:-1]
    return [read_span(head[s.offset : s.offset + s.length], span=s, dialect=dialect).table for s in usable]


def settle_all(opened: Sequence[Opened], *, profile: Profile) -> list[Settlement]:
    """
    Columns and formats of every source of one import; sources with the same header share their evidence.

    Raises:
        ingestion.profiles.SettlementError: a required field has no column, or two.
    """
    settlements = []
    for one in opened:
        alike = [table for other in opened if other.dialect.header == one.dialect.header for table in other.tables]
        settlements.append(settle(profile, one.dialect, alike))
    return settlements


def prepare(
    paths: Sequence[str], *, profile: Profile, spool_directory: Path, shown_names: dict[str, str] | None = None
) -> list[PreparedSource]:
    """
    Everything an import has to know about its sources. Arguments and errors as of the functions above.

    This computes with polars, whose threads do not survive a fork: the command runs it in a process of its own.
    """
    names = shown_names or {}
    opened = [
        open_and_detect(path, profile=profile, spool_directory=spool_directory, shown_name=names.get(path))
        for path in paths
    ]
    settlements = settle_all(opened, profile=profile)
    return [prepared(one, settlement) for one, settlement in zip(opened, settlements, strict=True)]


def prepared(one: Opened, settlement: Settlement) -> PreparedSource:
    """What is stored with the import about one source."""
    return PreparedSource(
        name=one.source.name,
        descriptor=one.source.descriptor(),
        fingerprint=one.source.fingerprint() or "",
        identity=one.source.identity(),
        dialect=one.dialect.as_dict(),
        settlement=settlement.as_dict(),
        evidence={
            "dialect": one.detection.evidence,
            "columns": list(settlement.evidence),
            "warnings": list(settlement.warnings),
        },
        preface=one.source.head(one.dialect.body_offset),
    )
