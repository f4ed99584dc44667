"""The outbox with real commits."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.outbox.reading import Reader

Connect = Callable[[], Any]


@pytest.fixture
def reader(database: str) -> Reader:
    """Holds all lanes of a database of the test's own."""
    return Reader().claim()
