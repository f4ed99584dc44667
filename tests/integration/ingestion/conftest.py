"""The pipeline in this process, on a database of the test's own, with real commits."""

from pathlib import Path

import pytest

from tests.integration.ingestion.driving import Driver


@pytest.fixture
def driver(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Loads files chunk by chunk, in any order."""
    return Driver(directory=tmp_path, monkeypatch=monkeypatch)
