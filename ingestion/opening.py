"""Open a stored source again, in whatever process."""

from typing import Any

from ingestion.models import Source as SourceRow
from ingestion.profiles import Settlement
from ingestion.reader import Dialect, Source
from ingestion.validation import Validator
from ingestion.worker import OpenSource


def open_for_work(row: SourceRow, *, identity: Any = None) -> OpenSource:
    """
    The source as a worker reads it.

    Args:
        identity: what the file looked like when the command opened it; None: do not compare.
    """
    return OpenSource(
        source=Source.from_descriptor(row.descriptor),
        dialect=Dialect.from_dict(row.dialect),
        validator=Validator(Settlement.from_dict(row.settlement)),
        identity=identity,
    )
