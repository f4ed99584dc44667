"""
How much to try: `make test` tries enough to notice what breaks, within ten minutes; `make test-thorough` tries all.

Tests with the mark `slow` are repetitions of others at another size, or by another way, and run only in the latter.
"""

import os
from typing import Final

THOROUGH: Final = os.environ.get("SLUICE_THOROUGH") == "1"


def seeds(most: int) -> range:
    """Of how many seeds to try a schedule: `most`, or a third of them (at least two)."""
    return range(most if THOROUGH else max(2, most // 3))


def examples(most: int) -> int:
    """How many examples of a property to try: `most`, or a fifth of it (at least 20)."""
    return most if THOROUGH else max(20, most // 5)
