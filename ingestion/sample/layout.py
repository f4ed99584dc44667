"""Where in the file which record is planted."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ingestion.sample.catalogue import scramble
from ingestion.sample.errors import SampleError
from ingestion.sample.kinds import KINDS
from ingestion.sample.spec import SINGLE_BYTE, SampleSpec

# A file begins with some clean records, so that what readers conclude from its beginning is beyond doubt.
CLEAN_START: Final = 3
MAX_PLANTED: Final = 1_000_000


@dataclass(frozen=True)
class Planting:
    """
    A record to plant.

    Args:
        record: its number in the file, from 1.
        kind: a key of KINDS.
        serial: how many of the kind come before it.
    """

    record: int
    kind: str
    serial: int


def lay_out(spec: SampleSpec) -> list[Planting]:
    """
    The plantings in file order, spread evenly but not regularly over the file.

    Where the encoding cannot be told from ASCII, letters with accents come first and at once.

    Raises:
        SampleError: a kind is unknown or cannot be had in such a file, or the records are too few.
    """
    kinds = _shuffled(_wished(spec), seed=spec.seed)
    if spec.codec in SINGLE_BYTE:
        kinds.sort(key=lambda kind: kind != "non_ascii")
    _refuse_crowding(len(kinds), rows=spec.rows)
    return _with_serials(kinds, _places(len(kinds), spec=spec))


def _wished(spec: SampleSpec) -> list[str]:
    wished: list[str] = []
    for name, count in spec.defects:
        if name not in KINDS:
            raise SampleError(f"unknown kind of defect: {name}. Known are: {', '.join(KINDS)}")
        if obstacle := KINDS[name].obstacle(spec):
            raise SampleError(f"{name} {obstacle}")
        if not 1 <= count <= MAX_PLANTED:
            raise SampleError(f"the number of {name} must be between 1 and {MAX_PLANTED:,}, not {count:,}")
        wished += [name] * count * (2 if KINDS[name].before else 1)
    return wished


def _refuse_crowding(planted: int, *, rows: int) -> None:
    if planted > MAX_PLANTED:
        raise SampleError(f"{planted:,} records to plant; at most {MAX_PLANTED:,} are possible")
    if planted and rows < planted + CLEAN_START:
        raise SampleError(f"{rows:,} rows are too few for {planted:,} planted ones and {CLEAN_START} clean ones")


def _shuffled(kinds: list[str], *, seed: int) -> list[str]:
    keys = scramble(np.arange(len(kinds), dtype=np.int64) + scramble(np.array([seed + 1]))[0] % (1 << 40))
    return [kinds[index] for index in np.argsort(keys, kind="stable")]


def _places(count: int, *, spec: SampleSpec) -> list[int]:
    """One record number within each of `count` equal stretches of the file."""
    free = spec.rows - CLEAN_START
    edges = [index * free // count for index in range(count + 1)] if count else []
    noise = scramble(np.arange(count, dtype=np.int64) * 64 + spec.seed)
    places = [CLEAN_START + 1 + low + int(noise[i]) % (edges[i + 1] - low) for i, low in enumerate(edges[:-1])]
    if places and spec.codec in SINGLE_BYTE:
        places[0] = CLEAN_START + 1
    return places


def _with_serials(kinds: list[str], places: list[int]) -> list[Planting]:
    """Number the records of each kind; of a kind that comes in pairs, every first one becomes its forerunner."""
    seen: dict[str, int] = {}
    plantings: list[Planting] = []
    for name, place in zip(kinds, places, strict=True):
        serial = seen.get(name, 0)
        seen[name] = serial + 1
        forerunner = KINDS[name].before
        if forerunner is None:
            plantings.append(Planting(place, name, serial))
        else:
            plantings.append(Planting(place, name if serial % 2 else forerunner, serial // 2))
    return plantings
