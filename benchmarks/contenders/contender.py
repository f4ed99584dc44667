"""What a way of loading has to offer to be measured."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.databases import TABLES, Database
from benchmarks.samples import SampleFile


@dataclass(frozen=True)
class Measurement:
    """
    One run.

    Args:
        seconds: time that counts for the rate.
        whole_seconds: of the whole command, with the start of the interpreter.
        peak_bytes: highest resident size of the heaviest process on the client's side.
    """

    records: int
    seconds: float
    whole_seconds: float
    peak_bytes: int

    @property
    def rate(self) -> float:
        """Records of the original file per second."""
        return self.records / self.seconds


@dataclass(frozen=True)
class Contender:
    """
    A way of loading.

    Args:
        key: short and unique; part of the database's name.
        label: for the table.
        load: loads a file into a fresh database.
        records: how many it is given; slow ones get a smaller file.
        rounds: in how many of the interleaved rounds it takes part, at most.
        connections: how many it uses: it is compared with the limit at the same number.
        normalises: whether it fills the four tables (pgloader fills one flat one).
        obstacle: why it cannot be measured here; None if it can.
    """

    key: str
    label: str
    load: Callable[[Database, SampleFile], Measurement]
    records: int
    rounds: int
    connections: int = 1
    normalises: bool = True
    obstacle: str | None = None


class WrongRowsError(Exception):
    """A contender did not do the work."""


def check_rows(contender: Contender, database: Database, sample: SampleFile) -> None:
    """
    Make sure that it has loaded what it says.

    Raises:
        WrongRowsError: a table has another number of rows than the file demands.
    """
    if not contender.normalises:
        return
    found = {table: database.count(table) for table in TABLES}
    if found != sample.rows:
        raise WrongRowsError(f"{contender.label}: rows {found}, but the file has {sample.rows}")


def file_name(path: Path) -> str:
    """A path as an argument of a command."""
    return str(path.resolve())
