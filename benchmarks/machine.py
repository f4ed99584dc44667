"""What the figures were measured on."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil

from benchmarks.databases import CHECKOUT, Database

SETTINGS: Final = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "wal_compression",
)
PACKAGES: Final = ("Django", "polars", "pyarrow", "numpy", "psycopg2-binary")


def machine_facts(database: Database) -> list[str]:
    """Sentences for the document: hardware, versions, settings, commit, date."""
    memory = psutil.virtual_memory().total / (1 << 30)
    settings = {name: database.query(f"SHOW {name}")[0][0] for name in SETTINGS}
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        f"{_processor()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB memory, Linux {platform.release()}",
        f"PostgreSQL {settings.pop('server_version')}: " + ", ".join(f"{k} = {v}" for k, v in settings.items()),
        f"Python {platform.python_version()}, {packages}",
        f"commit {_commit()}, {datetime.now(UTC):%Y-%m-%d}",
    ]


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
