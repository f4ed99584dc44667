"""Who changes several lanes locks them in one order, so that relays never wait for each other in a circle."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from orders.outbox.batches import open_batches
from orders.outbox.lanes import ALL_LANES
from orders.outbox.leases import Lease, claim, depart, release, renew
from orders.outbox.models import Lane
from tests.integration.outbox.relaying import numbered
from tests.integration.outbox.writing import write_all


@pytest.mark.parametrize(
    "change",
    [lambda mine: renew(mine, seconds=60), release, lambda mine: depart("a"), open_batches],
    ids=["renew", "release", "depart", "open"],
)
def test_several_lanes_are_locked_from_the_lowest_on(
    database: str, connect: Callable[[], Any], change: Callable[[list[Lease]], object]
) -> None:
    """As `claim` locks them; else both could wait for each other."""
    write_all(connect(), numbered("o", 100))  # some in each lane
    mine = claim("a", most=12, seconds=60)[::-1]
    for lease in mine:
        # So they lie in the table the wrong way round.
        Lane.objects.filter(lane=lease.lane).update(published=1)

    def run() -> None:
        change(mine)
        connection.close()

    with connect().cursor() as holder, connect().cursor() as observer:
        holder.execute("BEGIN")
        holder.execute("SELECT FROM outbox_lane WHERE lane = 0 FOR UPDATE")
        thread = threading.Thread(target=run)
        thread.start()
        deadline = time.monotonic() + 60
        waiting = False
        while not waiting and time.monotonic() < deadline:
            observer.execute(
                "SELECT FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity "
                "WHERE datname = current_database())"
            )
            waiting = bool(observer.rowcount)
        observer.execute("SELECT lane FROM outbox_lane ORDER BY lane FOR NO KEY UPDATE SKIP LOCKED")
        free = [lane for (lane,) in observer.fetchall()]
        holder.execute("COMMIT")
        thread.join(60)
    assert waiting
    assert free == list(ALL_LANES)[1:]
