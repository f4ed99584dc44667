"""
Order files that are made up, but exactly known: for the demo, the tests and the benchmarks. No Django inside.

`write_sample` writes a file from a `SampleSpec` and returns a `Manifest`: what an import of that file has to report.
"""

from ingestion.sample.errors import SampleError
from ingestion.sample.kinds import KINDS, available_kinds
from ingestion.sample.manifest import Manifest, PlantedRecord
from ingestion.sample.sinks import open_sink
from ingestion.sample.spec import SampleSpec
from ingestion.sample.writer import write_sample

__all__ = [
    "KINDS",
    "Manifest",
    "PlantedRecord",
    "SampleError",
    "SampleSpec",
    "available_kinds",
    "open_sink",
    "write_sample",
]
