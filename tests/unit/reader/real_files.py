"""Real files that nobody on this project wrote; they lie beside the checkout where there are any."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data"


def real_file(name: str) -> Path:
    """Path of a shared file; skips the test where it is absent."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{name} is not there: it is not part of the project")
    return path
