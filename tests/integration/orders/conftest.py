"""People of the tests of orders."""

import pytest

from tests.integration.orders.people import People


@pytest.fixture
def people(db: None) -> People:
    """Everybody, in the transaction of the test."""
    return People()


@pytest.fixture
def everybody(database: str) -> People:
    """Everybody, committed to a database of the test's own."""
    return People()
