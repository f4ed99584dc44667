"""The state machine of orders."""

from orders import states


def test_every_state_has_its_transitions() -> None:
    assert set(states.TRANSITIONS) == set(states.ALL)
    assert all(targets <= set(states.ALL) for targets in states.TRANSITIONS.values())


def test_what_can_be_cancelled_and_amended() -> None:
    assert set(states.CANCELLABLE) == {states.PLACED, states.PAID}
    assert set(states.AMENDABLE) == {states.PLACED, states.PAID}


def test_no_way_leads_back() -> None:
    assert all(state not in states.REACHABLE[state] for state in states.ALL)
