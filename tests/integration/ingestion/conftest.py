"""The pipeline in this process, on a database of the test's own, with real commits."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from tests.integration.ingestion.driving import Driver


@pytest.fixture
def database(database_url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Django's connection, pointed to the test's own database."""
    name = database_url.rpartition("/")[2].partition("?")[0]
    with django_db_blocker.unblock():
        connection.close()
        usual, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], name
        yield name
        connection.close()
        connection.settings_dict["NAME"] = usual


@pytest.fixture
def driver(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Loads files chunk by chunk, in any order."""
    return Driver(directory=tmp_path, monkeypatch=monkeypatch)
