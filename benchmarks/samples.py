"""The files that are loaded: clean orders in the shape of the design, 136 bytes a record on average."""

from dataclasses import dataclass
from pathlib import Path

from ingestion.sample import SampleSpec, open_sink, write_sample
from ingestion.sample.manifest import Expected


@dataclass(frozen=True)
class SampleFile:
    """A file, and the rows that loading it must make."""

    path: Path
    size_bytes: int
    expected: Expected

    @property
    def rows(self) -> dict[str, int]:
        """By table."""
        return {
            "accounts_user": self.expected.users,
            "orders_item": self.expected.items,
            "orders_order": self.expected.orders,
            "orders_orderline": self.expected.loaded,
        }


def make_sample(directory: Path, *, records: int, seed: int = 0) -> SampleFile:
    """Write a file of so many records into the directory."""
    path = directory / f"orders-{records}.csv"
    with open_sink(path) as sink:
        manifest = write_sample(SampleSpec(rows=records, seed=seed), sink)
    return SampleFile(path, manifest.bytes, manifest.expected)
