"""What the reader refuses, one class per reason. Each says what happened, where, and how to mend it."""

from __future__ import annotations


class ReaderError(Exception):
    """
    A source that cannot be read at all (a damaged record is a `Defect`, not an exception).

    Attributes:
        code: stable machine-readable reason.
        message: what and where, one or two plain sentences.
        hint: how to mend it; may be empty.
    """

    code = "reader_error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message if not hint else f"{message} {hint}")
        self.message = message
        self.hint = hint


class EmptySource(ReaderError):
    code = "empty_source"


class SourceUnavailable(ReaderError):
    code = "source_unavailable"


class CorruptArchive(ReaderError):
    code = "corrupt_archive"


class UnsupportedArchive(ReaderError):
    code = "unsupported_archive"


class DecompressionLimit(ReaderError):
    code = "decompression_limit"


class UnsupportedEncoding(ReaderError):
    code = "unsupported_encoding"


class UnreadableHeader(ReaderError):
    code = "unreadable_header"


class InvalidDialect(ReaderError):
    code = "invalid_dialect"


class SpanMismatch(ReaderError):
    """The bytes given to `read_span` are not those that were planned."""

    code = "span_mismatch"
