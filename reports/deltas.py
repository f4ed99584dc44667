"""What a batch of changed orders adds to the sums, or takes from them. Pure: no database."""

from typing import Final

from reports.events import State

Key = tuple[str, ...]
NOTHING: Final = [0, 0, 0, 0]


class Deltas:
    """
    Changes of the four tables of sums: key → [orders, cancelled, quantity, revenue in ten-thousandths].

    The keys are those of the tables: (day, currency), (country, currency, day), (user, currency, day, country),
    (sku, currency, day).
    """

    def __init__(self) -> None:
        self.days: dict[Key, list[int]] = {}
        self.countries: dict[Key, list[int]] = {}
        self.users: dict[Key, list[int]] = {}
        self.items: dict[Key, list[int]] = {}

    def change(self, old: State | None, new: State) -> None:
        """An order was `old` (None: not known) and is `new`."""
        if old is None:
            self._add(new, 1)
        elif old[2:] != new[2:]:  # most steps of an order's life change no sum
            self._add(old, -1)
            self._add(new, 1)

    def _add(self, state: State, sign: int) -> None:
        _, _, day, country, currency, user_id, cancelled, items = state
        quantity = revenue = 0
        for sku, of_item, earned in items:
            quantity, revenue = quantity + of_item, revenue + earned
            _sum(self.items, (sku, currency, day), sign, cancelled, of_item, earned)
        _sum(self.days, (day, currency), sign, cancelled, quantity, revenue)
        _sum(self.countries, (country, currency, day), sign, cancelled, quantity, revenue)
        if user_id is not None:
            _sum(self.users, (user_id, currency, day, country), sign, cancelled, quantity, revenue)


def _sum(sums: dict[Key, list[int]], key: Key, sign: int, cancelled: bool, quantity: int, revenue: int) -> None:
    row = sums.get(key)
    if row is None:
        row = sums[key] = [0, 0, 0, 0]
    if cancelled:
        row[1] += sign
    else:
        row[0] += sign
        row[2] += sign * quantity
        row[3] += sign * revenue


def rows(sums: dict[Key, list[int]]) -> list[tuple[str | int, ...]]:
    """The changes as rows, sorted by key: in this order they are locked, so that nobody waits in a circle."""
    return [(*key, *sums[key]) for key in sorted(sums) if sums[key] != NOTHING]
