"""The states of an order and the allowed transitions, as data."""

from typing import Final

PLACED: Final = "placed"
PAID: Final = "paid"
SHIPPED: Final = "shipped"
DELIVERED: Final = "delivered"
CANCELLED: Final = "cancelled"

ALL: Final = (PLACED, PAID, SHIPPED, DELIVERED, CANCELLED)

TRANSITIONS: Final[dict[str, frozenset[str]]] = {
    PLACED: frozenset({PAID, CANCELLED}),
    PAID: frozenset({SHIPPED, CANCELLED}),
    SHIPPED: frozenset({DELIVERED}),
    DELIVERED: frozenset(),
    CANCELLED: frozenset(),
}

AMENDABLE: Final = frozenset({PLACED, PAID})
CANCELLABLE: Final = frozenset(state for state, targets in TRANSITIONS.items() if CANCELLED in targets)


def reachable(source: str) -> frozenset[str]:
    """
    All states that can follow `source` in one or more transitions.

    An import states where an order has got to, not each step on the way, so it may take several at once.
    """
    found: set[str] = set()
    queue = [source]
    while queue:
        for target in TRANSITIONS[queue.pop()] - found:
            found.add(target)
            queue.append(target)
    return frozenset(found)


REACHABLE: Final[dict[str, frozenset[str]]] = {state: reachable(state) for state in ALL}
