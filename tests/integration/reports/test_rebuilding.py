"""`manage.py rebuild_reports` from Postgres: right, sparing, and beside a consumer that runs."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from reports.models import OrderState
from reports.projection import apply
from reports.rebuilding import rebuild
from tests.integration.reports.records import NOW, event
from tests.order_topic import made_up_orders
from tests.reporting import direct_sums, stored_sums


def is_right() -> bool:
    with connection.cursor() as cursor:
        return stored_sums(cursor) == direct_sums(cursor)


def events_of(contents: list[Any]) -> list[Any]:
    return [
        event(offset=offset, **{name: value for name, value in content.items() if name != "offset"})
        for offset, content in enumerate(contents)
    ]


@pytest.mark.django_db
def test_events_and_a_rebuild_end_in_the_same_rows() -> None:
    with connection.cursor() as cursor:
        contents = made_up_orders(cursor, orders=150)
    apply(events_of(contents), now=NOW)
    assert is_right()
    written: dict[str, int] = {}
    rebuild(show=lambda name, rows, _: written.update({name: rows}))
    assert {name: rows for name, rows in written.items() if rows and name != "totals of orders"} == {}
    assert is_right()


@pytest.mark.django_db
def test_whatever_is_wrong_is_put_right() -> None:
    with connection.cursor() as cursor:
        made_up_orders(cursor, orders=150)
    rebuild()
    assert is_right()
    apply([event("of another past", 3)], now=NOW)
    OrderState.objects.filter(order_id="o00001").update(version=99, country="XX", items=[])
    with connection.cursor() as cursor:
        for table in ("reports_day", "reports_country", "reports_user", "reports_item"):
            cursor.execute(f"UPDATE {table} SET orders = orders + 1, revenue = -revenue")
            cursor.execute(f"DELETE FROM {table} WHERE day = '2026-03-05'")
        assert not is_right()
    rebuild()
    assert is_right()
    assert not OrderState.objects.filter(order_id="of another past").exists()
    assert OrderState.objects.get(order_id="o00001").version < 99


@pytest.mark.django_db
def test_events_that_come_after_it_have_no_effect_or_their_usual_one() -> None:
    with connection.cursor() as cursor:
        contents = made_up_orders(cursor, orders=100)
    rebuild()
    apply(events_of(contents), now=NOW)
    assert is_right()


def test_beside_a_consumer(database: str) -> None:
    with connection.cursor() as cursor:
        contents = made_up_orders(cursor, orders=400)
    events, failures = events_of(contents), []
    halfway, done = threading.Event(), threading.Event()

    def consume() -> None:
        try:
            for start in range(0, len(events), 20):
                apply(events[start : start + 20], now=datetime.now(UTC))
                if start > len(events) // 3:
                    halfway.set()
        except BaseException as error:
            failures.append(error)
        finally:
            halfway.set()
            done.set()
            connection.close()

    consumer = threading.Thread(target=consume)
    consumer.start()
    assert halfway.wait(60)
    rebuilds = 0
    while not done.is_set() or rebuilds == 0:
        rebuild()
        rebuilds += 1
    consumer.join(60)
    assert failures == []
    assert is_right()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT event_id) FROM reports_history")
        assert cursor.fetchone() == (len(events), len(events))
