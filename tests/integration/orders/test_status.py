"""Status and cancelling: every pair of states."""

from itertools import pairwise, product

import pytest

from orders import states
from orders.models import Order
from orders.outbox.models import Entry
from tests.integration.orders.people import People, placed
from tests.integration.orders.test_placing import invalid_fields, refused

WAYS = {
    "placed": ["placed"],
    "paid": ["placed", "paid"],
    "shipped": ["placed", "paid", "shipped"],
    "delivered": ["placed", "paid", "shipped", "delivered"],
    "cancelled": ["placed", "cancelled"],
}


def brought_to(people: People, status: str) -> int:
    """An order in a status; returns its version."""
    placed(people)
    for _, step in pairwise(WAYS[status]):
        assert people["alice"].post("/orders/o553/status", {"status": step}).status_code == 200
    return Order.objects.get().version


@pytest.mark.parametrize(("start", "wanted"), list(product(states.ALL, states.ALL)))
def test_every_pair(people: People, start: str, wanted: str) -> None:
    version = brought_to(people, start)
    response = people["alice"].put("/orders/o553/status", {"status": wanted})
    if start == wanted:
        assert (response.status_code, response["ETag"]) == (200, f'"{version}"')
        assert Entry.objects.count() == version
    elif wanted in states.TRANSITIONS[start]:
        assert (response.status_code, response.json()["status"]) == (200, wanted)
        assert response["ETag"] == f'"{version + 1}"'
        last = Entry.objects.latest("pk")
        kind = "cancelled" if wanted == "cancelled" else "status_changed"
        assert (last.type, last.version) == (f"com.sluice.order.{kind}.v1", version + 1)
    else:
        code = "order_not_cancellable" if wanted == "cancelled" else "transition_not_allowed"
        refused(response, 409, code)
        assert Entry.objects.count() == version
    assert people["alice"].get("/orders/o553").json()["status"] == Order.objects.get().status


@pytest.mark.parametrize("start", states.ALL)
def test_cancelling_from_every_state(people: People, start: str) -> None:
    version = brought_to(people, start)
    response = people["alice"].post("/orders/o553/cancel")
    if start in ("shipped", "delivered"):
        refused(response, 409, "order_not_cancellable")
        return
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert Order.objects.get().version == (version if start == "cancelled" else version + 1)


def test_what_is_possible_is_told(people: People) -> None:
    brought_to(people, "shipped")
    body = refused(people["alice"].post("/orders/o553/status", {"status": "paid"}), 409, "transition_not_allowed")
    assert "delivered" in body["detail"]


@pytest.mark.parametrize("status", ["", "PAID", "lost", None, 1, ["paid"], {}])
def test_what_is_no_status(people: People, status: object) -> None:
    placed(people)
    assert "status" in invalid_fields(people["alice"].post("/orders/o553/status", {"status": status}))


def test_conditions_count_where_they_are_given(people: People) -> None:
    placed(people)
    stale = {"If-Match": '"9"'}
    body = {"status": "paid"}
    refused(people["alice"].post("/orders/o553/status", body, headers=stale), 412, "precondition_failed")
    refused(people["alice"].post("/orders/o553/cancel", headers=stale), 412, "precondition_failed")
    assert people["alice"].post("/orders/o553/status", body, headers={"If-Match": '"1"'}).status_code == 200


def test_who_may(people: People) -> None:
    placed(people, country="FR")
    for who, status, code in (("charlie", 403, "permission_denied"), ("bob", 404, "not_found")):
        refused(people[who].post("/orders/o553/status", {"status": "paid"}), status, code)
        refused(people[who].post("/orders/o553/cancel"), status, code)
    refused(people["alice"].post("/orders/nothing/cancel"), 404, "not_found")
    assert people["alice"].get("/orders/o553/cancel").status_code == 405
