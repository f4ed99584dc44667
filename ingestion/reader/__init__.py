"""
A CSV reader that accounts for every record and every byte. No Django inside; usable alone:

    source = open_source("orders.csv.gz", spool_directory="/tmp")
    dialect = detect(source.head(), complete=False).dialect
    for span in plan(source.blocks(), dialect=dialect, target_bytes=12 << 20):
        batch = read_span(source.read(span.offset, span.length), span=span, dialect=dialect)
        print(batch.table, batch.defects)
"""

from ingestion.reader.batch import Batch, Located
from ingestion.reader.clean import Cleaned, clean
from ingestion.reader.detect import Detection, detect
from ingestion.reader.dialect import Dialect, DialectOverrides
from ingestion.reader.encoding import first_non_utf8
from ingestion.reader.errors import (
    CorruptArchive,
    DecompressionLimit,
    EmptySource,
    InvalidDialect,
    ReaderError,
    SourceUnavailable,
    SpanMismatch,
    UnreadableHeader,
    UnsupportedArchive,
    UnsupportedEncoding,
)
from ingestion.reader.exact import Defect, fields_as_read
from ingestion.reader.read import read_span
from ingestion.reader.source import ByteSource, Source, open_source
from ingestion.reader.split import Span, plan

__all__ = [
    "Batch",
    "ByteSource",
    "Cleaned",
    "CorruptArchive",
    "DecompressionLimit",
    "Defect",
    "Detection",
    "Dialect",
    "DialectOverrides",
    "EmptySource",
    "InvalidDialect",
    "Located",
    "ReaderError",
    "Source",
    "SourceUnavailable",
    "Span",
    "SpanMismatch",
    "UnreadableHeader",
    "UnsupportedArchive",
    "UnsupportedEncoding",
    "clean",
    "detect",
    "fields_as_read",
    "first_non_utf8",
    "open_source",
    "plan",
    "read_span",
]
