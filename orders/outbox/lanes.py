"""
Lanes: what is sent in parallel, each by one relay at a time.

Orders have lanes by the hash of their id, so that the events of one order stay in one lane and in order; bulk loads
have lanes of their own, so that a load of 10 GB does not delay a single order. Which lane an entry goes to is said in
`sql/append.sql` and nowhere else.
"""

from typing import Final

ORDER_LANES: Final = range(8)
"""Of single orders and of imports."""
BULK_LANES: Final = range(8, 12)
"""Of the entries that stand for all new orders of a chunk."""
ALL_LANES: Final = (*ORDER_LANES, *BULK_LANES)
