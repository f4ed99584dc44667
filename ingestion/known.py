"""What a worker knows to exist: 128-bit hashes in sorted arrays, within a byte budget."""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

BYTES_AN_ENTRY: Final = 24
MAX_RUNS: Final = 6

U64 = NDArray[np.uint64]


def key_hashes(keys: pl.Series) -> tuple[U64, U64]:
    """Two independent 64-bit hashes of each key; valid within this process only."""
    return (
        keys.hash(seed=0x5173).to_numpy(),
        keys.hash(seed=0xC4F3).to_numpy(),
    )


def row_hashes(frame: pl.DataFrame) -> U64:
    """One 64-bit hash of each row's values; valid within this process only."""
    return frame.hash_rows(seed=0x91).to_numpy()


class KnownKeys:
    """
    Keys known to exist, each with a hash of its attributes.

    Kept as sorted runs of (hash, hash, attributes) that are merged when there are too many of them. Over the
    budget the oldest are forgotten: a forgotten key costs one look-up, never a wrong answer. Two keys with the
    same first hash make the later one unknown, again harmless.

    Args:
        budget_bytes: memory for the arrays.
    """

    def __init__(self, *, budget_bytes: int) -> None:
        self._capacity = max(1, budget_bytes // BYTES_AN_ENTRY)
        self._runs: list[tuple[U64, U64, U64]] = []

    def __len__(self) -> int:
        return sum(len(run[0]) for run in self._runs)

    def clear(self) -> None:
        """Forget everything (the deletion epoch changed)."""
        self._runs.clear()

    def look_up(self, first: U64, second: U64) -> tuple[NDArray[np.bool_], U64]:
        """
        Which keys are known, and the attribute hash of those that are.

        Args:
            first, second: hashes from `key_hashes`, shape (n,).
        Returns:
            (known, attributes), both of shape (n,); attributes is 0 where unknown.
        """
        known = np.zeros(len(first), dtype=bool)
        attributes = np.zeros(len(first), dtype=np.uint64)
        order = np.argsort(first)  # neighbours are found in the same cache lines
        wanted, wanted_second = first[order], second[order]
        for run_first, run_second, run_attributes in self._runs:
            at = np.searchsorted(run_first, wanted)
            at[at == len(run_first)] = 0
            hit = (run_first[at] == wanted) & (run_second[at] == wanted_second)
            known[order[hit]] = True
            attributes[order[hit]] = run_attributes[at[hit]]
        return known, attributes

    def add(self, first: U64, second: U64, attributes: U64) -> None:
        """Remember keys; arguments as for `look_up`."""
        if not len(first):
            return
        order = np.argsort(first, kind="stable")
        self._runs.append((first[order], second[order], attributes[order]))
        while len(self) > self._capacity and len(self._runs) > 1:
            self._runs.pop(0)
        if len(self._runs) > MAX_RUNS:
            self._merge()

    def _merge(self) -> None:
        columns = [np.concatenate(column) for column in zip(*self._runs, strict=True)]
        order = np.argsort(columns[0], kind="stable")
        self._runs = [(columns[0][order], columns[1][order], columns[2][order])]
