"""
Tests that share something dear are run by the same test process: a broker in Java, 100,000 users.

pytest-xdist would do so by a mark, which pytest 9.2 makes it lose.
"""

import re
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

GROUPS: Final = {
    "kafka": re.compile(
        r"tests/(faults/test_outbox_|integration/(kafka/|outbox/test_(commands|relay)|reports/test_dead_letters))"
    ),
    "many-users": re.compile(r"tests/integration/accounts/test_many_users\.py"),
}


class InGroups(LoadScopeScheduling):
    """Each test goes to whoever is free; all of a group go to one."""

    def _split_scope(self, nodeid: str) -> str:
        return next((name for name, pattern in GROUPS.items() if pattern.match(nodeid)), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> InGroups:
    return InGroups(config, log)
