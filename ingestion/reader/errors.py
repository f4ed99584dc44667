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


class EmptySource(ReaderError):  # noqa: N818 - named after the reason
    code = "empty_source"


class SourceUnavailable(ReaderError):  # noqa: N818 - named after the reason
    code = "source_unavailable"


class CorruptArchive(ReaderError):  # noqa: N818 - named after the reason
    code = "corrupt_archive"


class UnsupportedArchive(ReaderError):  # noqa: N818 - named after the reason
    code = "unsupported_archive"


class DecompressionLimit(ReaderError):  # noqa: N818 - named after the reason
    code = "decompression_limit"


class UnsupportedEncoding(ReaderError):  # noqa: N818 - named after the reason
    code = "unsupported_encoding"


class UnreadableHeader(ReaderError):  # noqa: N818 - named after the reason
    code = "unreadable_header"


class InvalidDialect(ReaderError):  # noqa: N818 - named after the reason
    code = "invalid_dialect"


class SpanMismatch(ReaderError):  # noqa: N818 - named after the reason
    """The bytes given to `read_span` are not those that were planned."""

    code = "span_mismatch"
