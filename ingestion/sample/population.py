"""
Who orders what, and when: the numbers behind the clean records.

Nothing is drawn from a running generator; every number is a hash of its position and the seed. So any stretch of the
file can be made without what comes before it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ingestion.sample.catalogue import DAYS, Ints, scramble
from ingestion.sample.spec import SampleSpec

# A returning customer is mostly one of the newest, and now and then anybody.
RECENT_USERS: Final = 2_000
RECENT_SHARE_OF_16: Final = 11
HOUR_SECONDS: Final = 3_600
DAY_SECONDS: Final = 86_400


@dataclass(frozen=True)
class Population:
    """
    The orders of a file's clean records.

    Args:
        spec: the file.
        records: how many clean records there are.
    """

    spec: SampleSpec
    records: int

    @property
    def orders(self) -> int:
        """Distinct orders."""
        return -(-self.records // self.spec.lines_per_order)

    @property
    def users(self) -> int:
        """Distinct users: each appears for the first time at a fixed order, so none is missing."""
        return -(-self.orders // self.spec.orders_per_user)

    @property
    def order_id_width(self) -> int:
        """Digits of an order id; all have the same number, so that ids ascend as text too."""
        return max(9, len(str(self.orders)))

    @property
    def user_id_width(self) -> int:
        """Digits of a user id."""
        return max(8, len(str(self.users)))

    def noise(self, numbers: Ints, *, stream: int) -> Ints:
        """One hash ≥ 0 for each number; streams are independent of each other."""
        key = np.array([self.spec.seed * 64 + stream], dtype=np.uint64).astype(np.int64)
        return scramble(numbers ^ scramble(key))

    def users_of(self, orders: Ints) -> Ints:
        """The numbers of the users who placed the orders (0-based)."""
        newest = orders // self.spec.orders_per_user
        chance = self.noise(orders, stream=1)
        pool = np.where(chance % 16 < RECENT_SHARE_OF_16, np.minimum(newest + 1, RECENT_USERS), newest + 1)
        return np.where(orders % self.spec.orders_per_user == 0, newest, newest - (chance // 16) % pool)

    def seconds_of(self, orders: Ints) -> Ints:
        """When the orders were placed: seconds since the first day, ascending but for an hour of disorder."""
        step = (DAYS * DAY_SECONDS - HOUR_SECONDS) / max(1, self.orders)
        return (orders * step).astype(np.int64) + self.noise(orders, stream=2) % HOUR_SECONDS

    def items_of(self, records: Ints) -> Ints:
        """The numbers of the items bought in the records (0-based)."""
        return self.noise(records, stream=3) % self.spec.items
