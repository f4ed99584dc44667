"""Ids for things whose makers bring none."""

import secrets
from datetime import datetime
from typing import Final

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
RANDOM_BITS: Final = 80
LENGTH: Final = 26


def new_id(*, now: datetime) -> str:
    """
    A ULID (https://github.com/ulid/spec) in lower case: 48 bits of milliseconds, 80 random ones.

    Ids made one after another are neighbours in the index.
    """
    number = (int(now.timestamp() * 1000) << RANDOM_BITS) | secrets.randbits(RANDOM_BITS)
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(5 * (LENGTH - 1), -1, -5))
