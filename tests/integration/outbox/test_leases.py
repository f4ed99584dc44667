"""Leases: one owner a lane, shared fairly, lost with a higher epoch."""

import threading

import pytest
from django.db import connection

from orders.outbox.lanes import ALL_LANES, BULK_LANES, ORDER_LANES
from orders.outbox.leases import Lease, LeaseLostError, claim, depart, fair_share, release, renew
from orders.outbox.models import Lane, Relay

pytestmark = pytest.mark.django_db
PAST = "2020-01-01T00:00:00Z"


def lanes_of(leases: list[Lease]) -> list[int]:
    return [lease.lane for lease in leases]


def test_the_first_takes_all_and_nobody_else_any() -> None:
    assert lanes_of(claim("a", most=12, seconds=60)) == list(ALL_LANES)
    assert claim("b", most=12, seconds=60) == []
    assert claim("a", most=12, seconds=60) == []


def test_a_newcomer_gets_its_share_when_the_first_gives_it_back() -> None:
    mine = claim("a", most=12, seconds=60)
    assert fair_share("a") == 12
    assert claim("b", most=12, seconds=60) == []
    assert fair_share("a") == 6
    release(mine[6:])
    assert lanes_of(claim("b", most=12, seconds=60)) == lanes_of(mine[6:])
    assert claim("a", most=12, seconds=60) == []
    assert [fair_share(owner) for owner in ("a", "b", "c")] == [6, 6, 4]


def test_some_lanes_are_shared_by_those_who_want_them() -> None:
    assert lanes_of(claim("a:orders", lanes=ORDER_LANES, most=8, seconds=60)) == list(ORDER_LANES)
    assert lanes_of(claim("a:bulk", lanes=BULK_LANES, most=4, seconds=60)) == list(BULK_LANES)
    claim("b:orders", lanes=ORDER_LANES, most=8, seconds=60)
    assert fair_share("a:orders", lanes=ORDER_LANES) == 4
    assert fair_share("a:bulk", lanes=BULK_LANES) == 4


def test_no_more_than_wished() -> None:
    assert len(claim("a", most=5, seconds=60)) == 5
    assert len(claim("a", most=7, seconds=60)) == 2


def test_a_lease_that_ran_out_is_taken_with_a_higher_epoch() -> None:
    (mine,) = claim("a", most=1, seconds=60)
    Lane.objects.filter(lane=mine.lane).update(leased_until=PAST)
    Relay.objects.update(seen_until=PAST)
    taken = {lease.lane: lease for lease in claim("b", most=12, seconds=60)}[mine.lane]
    assert taken.epoch == mine.epoch + 1
    with pytest.raises(LeaseLostError) as lost:
        renew([mine], seconds=60)
    assert lost.value.lanes == (mine.lane,)
    release([mine])
    assert Lane.objects.get(lane=mine.lane).owner == "b"


def test_a_lease_that_ran_out_and_that_nobody_took_is_renewed() -> None:
    mine = claim("a", most=2, seconds=60)
    Lane.objects.update(leased_until=PAST)
    renew(mine, seconds=60)
    assert claim("b", most=12, seconds=60) != []
    assert {lane.owner for lane in Lane.objects.filter(lane__in=lanes_of(mine))} == {"a"}
    renew([], seconds=60)


def test_of_several_leases_those_that_are_left_are_renewed() -> None:
    first, second = claim("a", most=2, seconds=60)
    Lane.objects.filter(lane=first.lane).update(owner="b", epoch=first.epoch + 1)
    Lane.objects.filter(lane=second.lane).update(leased_until=PAST)
    with pytest.raises(LeaseLostError):
        renew([first, second], seconds=60)
    assert not Lane.objects.filter(lane=second.lane, leased_until=PAST).exists()


def test_who_departs_is_counted_no_more() -> None:
    claim("a", most=12, seconds=60)
    claim("b", most=12, seconds=60)
    depart("a")
    assert fair_share("b") == 12
    assert len(claim("b", most=12, seconds=60)) == 12


def test_halted_lanes_are_not_given() -> None:
    Lane.objects.filter(lane__in=[3, 9]).update(halted_reason="somebody must look")
    assert lanes_of(claim("a", most=12, seconds=60)) == [lane for lane in ALL_LANES if lane not in (3, 9)]


def test_at_once_each_lane_has_one_owner(database: str) -> None:
    start = threading.Barrier(6)
    found: dict[str, list[Lease]] = {}

    def run(owner: str) -> None:
        start.wait()
        for _ in range(3):
            found.setdefault(owner, []).extend(claim(owner, most=12, seconds=60))
        connection.close()

    threads = [threading.Thread(target=run, args=(f"relay {number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    given = [lease.lane for leases in found.values() for lease in leases]
    assert sorted(given) == sorted(set(given))
