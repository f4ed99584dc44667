"""People who import, and a place for their uploads."""

from pathlib import Path

import pytest
from pytest_django import Settings

from tests.integration.imports_api.scenes import People


@pytest.fixture(autouse=True)
def _place_for_uploads(settings: Settings, tmp_path: Path) -> None:
    uploads = {
        "BACKEND": "ingestion.uploads.storage.FileSystemSegmentStorage",
        "OPTIONS": {"location": str(tmp_path / "media/uploads")},
    }
    settings.STORAGES = {**settings.STORAGES, "uploads": uploads}


@pytest.fixture
def commits(database: str) -> str:
    """A database of the test's own with real commits, which `scenes.load` needs."""
    return database


@pytest.fixture
def people(request: pytest.FixtureRequest) -> People:
    """Everybody; in the test's transaction, unless it has `commits`."""
    request.getfixturevalue("database" if "commits" in request.fixturenames else "db")
    return People()
