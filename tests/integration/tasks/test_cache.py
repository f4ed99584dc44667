"""What an import changes is never read from the cache as it was before; what it only adds is not told to the cache."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings

from config.kernel.caching import cached, client
from ingestion.profiles import load_profile
from orders.caching import item_rendered, order_rendered
from tests.integration.tasks.conftest import Desk, csv_text

HEADER = "order_id,user_id,sku,quantity,line_no,item_name,country,user_name\n"


def names_in_redis() -> list[str]:
    """Keys of this test in the cache, without those of locks."""
    return [key.decode() for key in client().keys(f"{settings.CACHE_KEY_PREFIX}:*")]


def of(rendered: Any) -> dict[str, Any]:
    assert rendered is not None
    document: dict[str, Any] = json.loads(rendered.body)
    return document


def test_plain_load_tells_the_cache_nothing(desk: Desk) -> None:
    before = set(names_in_redis())
    owner = desk.load(csv_text(range(50)))
    assert owner.state == "completed"
    assert set(names_in_redis()) - before == set()


def test_changed_orders_items_and_users_are_read_anew(desk: Desk) -> None:
    desk.load(f"{HEADER}o1,u1,i1,1,1,Chair,DE,Ann\no2,u1,i1,1,1,Chair,DE,Ann\n".encode())
    assert of(order_rendered("o1"))["country"] == "DE"
    assert of(order_rendered("o1"))["country"] == "DE", "from the cache"
    assert of(item_rendered("i1"))["name"] == "Chair"
    assert cached("user", "u1", lambda: b"Ann") == b"Ann"
    profile = load_profile("sluice").with_rules(on_conflict="update", update_people=True, update_items=True)
    owner = desk.load(f"{HEADER}o1,u1,i1,7,1,Stool,FR,Anna\n".encode(), profile=profile)
    assert owner.state == "completed", owner.reason
    assert of(order_rendered("o1"))["country"] == "FR"
    assert of(item_rendered("i1"))["name"] == "Stool"
    assert cached("user", "u1", lambda: b"Anna") == b"Anna"


def test_dry_run_tells_the_cache_nothing(desk: Desk) -> None:
    desk.load(f"{HEADER}o1,u1,i1,1,1,Chair,DE,Ann\n".encode())
    order_rendered("o1")
    before = set(names_in_redis())
    profile = load_profile("sluice").with_rules(on_conflict="update")
    owner = desk.load(f"{HEADER}o1,u1,i1,7,1,Chair,FR,Ann\n".encode(), profile=profile, dry_run=True)
    assert owner.certificate is not None
    assert owner.certificate["orders_updated"] == 1
    assert set(names_in_redis()) == before
    assert of(order_rendered("o1"))["country"] == "DE"
