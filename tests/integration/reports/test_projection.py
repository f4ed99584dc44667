"""Events in any order, any number of times, in any batches: the same sums."""

import threading
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import pytest
from django.db import DataError, OperationalError, connection, transaction
from hypothesis import HealthCheck, given, settings, strategies as st

from reports import projection
from reports.events import OrderEvent, State
from reports.models import Consumption, HistoryEntry, OrderState
from reports.projection import Position, apply
from tests.integration.reports.records import NOW, TOPIC, event
from tests.reporting import SUMS, Sums, stored_sums
from tests.thorough import examples

TABLES: Final = ("reports_order", "reports_history", "reports_consumer", *SUMS)


def stored() -> Sums:
    with connection.cursor() as cursor:
        return stored_sums(cursor)


def empty() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(TABLES)}")


def modelled(events: Sequence[OrderEvent]) -> Sums:
    """One order after the other, with nothing clever."""
    newest: dict[str, State] = {}
    for each in events:
        known = newest.get(each.state.order_id)
        if known is None or known.version < each.state.version:
            newest[each.state.order_id] = each.state
    sums: dict[str, dict[tuple[Any, ...], list[Any]]] = {
        table: defaultdict(lambda: [0, 0, 0, Decimal(0)]) for table in SUMS
    }
    for state in newest.values():
        day = date.fromisoformat(state.day)
        parts = [
            ("reports_day", (day, state.currency), state.items),
            ("reports_country", (state.country, state.currency, day), state.items),
            ("reports_user", (state.user_id, state.currency, day, state.country), state.items),
            *(("reports_item", (item[0], state.currency, day), [item]) for item in state.items),
        ]
        for table, key, items in parts:
            if None in key:
                continue
            row = sums[table][key]
            row[1 if state.cancelled else 0] += 1
            if not state.cancelled:
                row[2] += sum(quantity for _, quantity, _ in items)
                row[3] += Decimal(sum(revenue for _, _, revenue in items)) / 10_000
    return {table: {(*key, *row) for key, row in rows.items() if row != [0, 0, 0, 0]} for table, rows in sums.items()}


prices = st.one_of(st.none(), st.decimals(0, 10**6, places=4).map(lambda price: f"{price:.4f}"))
lines = st.fixed_dictionaries(
    {
        "sku": st.sampled_from(["Shoes", "Laces", "ä{}\"\\,'", "o"]),
        "quantity": st.integers(-5, 5).filter(bool),
        "unit_price": prices,
    }
)
contents = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from([None, "u1", "u2"]),
        "status": st.sampled_from(["placed", "paid", "cancelled"]),
        "ordered_at": st.sampled_from([None, "2026-03-04T23:59:59.999999Z", "2026-03-05T00:00:00Z"]),
        "country": st.sampled_from(["DE", "AT", ""]),
        "currency": st.sampled_from(["EUR", "USD", ""]),
        "lines": st.lists(lines, max_size=3),
    }
)


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[OrderEvent]]:
    """Versions of some orders, doubled and shuffled, in batches."""
    orders: list[list[Any]] = draw(st.lists(st.lists(contents, min_size=1, max_size=4), min_size=1, max_size=5))
    made = [
        event(f"o{number}", version, **content)
        for number, versions in enumerate(orders)
        for version, content in enumerate(versions, start=1)
    ]
    again = draw(st.lists(st.sampled_from(made), max_size=5))
    shuffled = [each._replace(offset=offset) for offset, each in enumerate(draw(st.permutations(made + again)))]
    cuts = sorted(draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    return [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]


@pytest.mark.django_db
@settings(
    max_examples=examples(300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(deliveries())
def test_any_order_any_number_of_times_in_any_batches(batches: list[list[OrderEvent]]) -> None:
    with transaction.atomic():
        read: list[OrderEvent] = []
        for batch in batches:
            apply(batch, now=NOW)
            read += batch
            assert stored() == modelled(read)
        first = {each.id: each.offset for each in reversed(read)}
        assert dict(HistoryEntry.objects.values_list("event_id", "offset")) == first
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_what_had_an_effect_is_told() -> None:
    told = apply([event(version=2), event(version=1), event(version=2)], now=NOW)
    assert (told.effective, told.late) == (2, 1)
    assert (apply([event(version=2)], now=NOW).late, OrderState.objects.get().version) == (1, 2)


@pytest.mark.django_db
def test_an_event_that_postgres_refuses_takes_nothing_with_it() -> None:
    good = event("o1")
    bad = event("o2")._replace(state=event("o2").state._replace(country="x" * 65))
    with pytest.raises(DataError), transaction.atomic():
        apply([good, bad], now=NOW)
    assert stored() == modelled([])


@pytest.mark.django_db
def test_positions_are_part_of_the_transaction() -> None:
    position = Position(TOPIC, 3, 18, 20, 2, 1, "somebody", "2026-03-04T09:12:00Z")
    apply([event(offset=16)], positions=[position], now=NOW)
    apply([event(version=2, offset=18)], positions=[position], now=NOW)
    (row,) = projection_rows("reports_consumer")
    assert row[:7] == (f"{TOPIC}/3", TOPIC, 3, 18, 20, 4, 2)


@pytest.mark.django_db
def test_a_slow_member_takes_nothing_back_and_a_new_topic_begins_anew() -> None:
    def told(offset: int, end: int) -> tuple[int, int]:
        position = Position(TOPIC, 3, offset, end, 0, 0, "somebody", None)
        apply([], positions=[position], now=NOW)
        row = Consumption.objects.get()
        return row.offset, row.end_offset

    assert told(18, 20) == (18, 20)
    assert told(12, 20) == (18, 20)
    assert told(19, 25) == (19, 25)
    assert told(2, 5) == (2, 5)


def projection_rows(table: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        return list(cursor.fetchall())


@pytest.mark.django_db
def test_after_a_rebuild_late_events_still_enter_the_history_once() -> None:
    apply([event(version=3)], now=NOW)
    HistoryEntry.objects.all().delete()
    for _ in range(2):
        apply([event(version=2), event(version=3)], now=NOW)
    assert sorted(HistoryEntry.objects.values_list("event_id", flat=True)) == ["o1:2", "o1:3"]


def test_two_consumers_never_wait_in_a_circle(database: str) -> None:
    """The same orders, users, items, countries and days, in opposite directions and in one connection each."""
    rounds, orders = 15, 60
    failures: list[BaseException] = []
    start = threading.Barrier(2)

    def consume(backward: bool) -> None:
        try:
            for version in range(1, rounds + 1):
                start.wait(30)
                batch = [
                    event(
                        f"o{number}", version, user_id=f"u{number % 7}", country=["DE", "AT"][(number + version) % 2],
                        lines=[{"sku": f"i{(number + version) % 5}", "quantity": 1, "unit_price": "1.0000"}],
                    )
                    for number in range(orders)
                ]  # fmt: skip
                apply(batch[::-1] if backward else batch, now=datetime.now(UTC))
        except BaseException as error:
            failures.append(error)
            start.abort()
        finally:
            connection.close()

    threads = [threading.Thread(target=consume, args=[backward]) for backward in (False, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    everything = [
        event(
            f"o{number}", rounds, user_id=f"u{number % 7}", country=["DE", "AT"][(number + rounds) % 2],
            lines=[{"sku": f"i{(number + rounds) % 5}", "quantity": 1, "unit_price": "1.0000"}],
        )
        for number in range(orders)
    ]  # fmt: skip
    assert stored() == modelled(everything)
    assert HistoryEntry.objects.count() == rounds * orders


def test_whoever_waits_for_a_rebuild_gives_up_in_time(database: str, connect: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(projection, "LOCK_TIMEOUT_MS", 50)
    rebuild = connect()
    rebuild.autocommit = False
    with rebuild.cursor() as cursor:
        cursor.execute("LOCK TABLE reports_order IN SHARE ROW EXCLUSIVE MODE")
    with pytest.raises(OperationalError, match="lock timeout"):
        apply([event()], now=NOW)
    rebuild.rollback()
    assert apply([event()], now=NOW).effective == 1
