"""How a rate changes while a load goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

PARTS = 10


@dataclass(frozen=True)
class Tenth:
    """
    A tenth of the records.

    Args:
        start: seconds, on the clock of the measured points.
        stop: when the last of them was loaded.
        rate: records per second.
    """

    start: float
    stop: float
    rate: float


def tenths(points: Sequence[tuple[float, int]], *, started: float) -> list[Tenth]:
    """
    Divide a load into ten parts with the same number of records.

    Args:
        points: (time, records) of each chunk when it was done, in any order; within a chunk the rate is taken as even.
        started: the time when the load began.
    Raises:
        ValueError: there are no points.
    """
    if not points:
        raise ValueError("nothing was loaded")
    ordered = sorted(points)
    times = np.array([started, *(time for time, _ in ordered)])
    records = np.cumsum([0, *(count for _, count in ordered)])
    edges = np.interp(np.linspace(0, records[-1], PARTS + 1), records, times)
    share = int(records[-1]) / PARTS
    return [Tenth(float(start), float(stop), share / max(float(stop - start), 1e-9)) for start, stop in pairwise(edges)]
