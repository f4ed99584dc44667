"""
schemathesis on the served schema: no 5xx, no answer that the schema does not tell of, all checks on.

The usual run is short; `make schemathesis` makes some thousands of requests (SLUICE_SCHEMATHESIS_EXAMPLES for each
operation; SLUICE_SCHEMATHESIS_ONLY, a regular expression, names operations).
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from accounts.models import Region, User
from accounts.services import token_create
from orders.models import Item, Order, OrderLine
from tests.conftest import CHECKOUT
from tests.serving import Site

EXAMPLES: Final = int(os.environ.get("SLUICE_SCHEMATHESIS_EXAMPLES") or 0)
ONLY: Final = os.environ.get("SLUICE_SCHEMATHESIS_ONLY", "")
SEED: Final = os.environ.get("SLUICE_SCHEMATHESIS_SEED", "")
EXAMPLES_BY_DEFAULT: Final = 1
PASSWORD: Final = "correct horse battery staple"
SECONDS: Final = 3_600 if EXAMPLES else 300


@pytest.fixture
def token(database: str) -> str:
    """Alice may do everything; there is a little of everything."""
    alice = User.objects.create_superuser("alice", email="alice@example.com", password=PASSWORD, name="Alice")
    User.objects.create_user("u101", email="john@gmail.com", name="Shoes")
    item = Item.objects.create(sku="Shoes", name="Shoes")
    order = Order.objects.create(id="o553", user_id="u101", ordered_at=datetime.now(UTC), currency="EUR")
    OrderLine.objects.create(order=order, line_no=1, item=item, quantity=2)
    Region.objects.create(slug="north", name="North", countries=["Norway"])
    _, token = token_create(user=alice, ttl=None, now=datetime.now(UTC))
    return token


def run(site: Site, token: str, directory: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    """The finished command and its report."""
    report = directory / "report.json"
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(CHECKOUT / "schemathesis.toml"),
        "run", f"{site.url}/schema", "--report", "json", "--report-json-path", str(report), *options,
    ]  # fmt: skip
    environment = {**os.environ, "TOKEN": token, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return done, json.loads(report.read_text()) if report.exists() else {}


def test_the_api_keeps_what_its_schema_says(serve: Callable[..., Site], token: str, tmp_path: Path) -> None:
    site = serve(processes=1, threads=8, env={"LOG_LEVEL": "INFO", "LOG_JSON": "1"})
    options = ["--max-examples", str(EXAMPLES or EXAMPLES_BY_DEFAULT)]
    if not EXAMPLES:
        options += ["--phases", "examples,fuzzing", "--seed", SEED or "1"]
    elif SEED:
        options += ["--seed", SEED]
    if ONLY:
        options += ["--include-operation-id-regex", ONLY]
    done, report = run(site, token, tmp_path, *options)
    assert done.returncode == 0, f"{done.stdout[-150_000:]}\n{done.stderr[-4_000:]}"
    assert report
