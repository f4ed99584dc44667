"""Sizes in bytes: as people write them, and as numbers of records."""

import re
from dataclasses import replace
from typing import Final

from ingestion.sample.clean import CleanRecords
from ingestion.sample.errors import SampleError
from ingestion.sample.spec import SampleSpec

UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30}
PROBE_RECORDS: Final = 8_192


def parse_size(text: str) -> int:
    """
    Bytes from a text such as `500M`, `10G` (powers of ten), `16MiB` (powers of two) or `123456`.

    Raises:
        SampleError: the text is no size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?I?)B?", text.strip().upper())
    if match is None or match[2] not in UNITS:
        raise SampleError(f"{text!r} is no size; write for example 500M, 10G or 16MiB")
    return round(float(match[1]) * UNITS[match[2]])


def rows_for_bytes(size: int, *, spec: SampleSpec) -> int:
    """How many records make a file of about `size` bytes: right within one percent for files of clean records."""
    probe = CleanRecords(replace(spec, rows=PROBE_RECORDS, defects=()), PROBE_RECORDS)
    measured = sum(len(block.text) for block in probe.blocks())
    bytes_per_record = measured / PROBE_RECORDS * (2 if spec.wide else 1)
    return max(1, round(size / bytes_per_record))
