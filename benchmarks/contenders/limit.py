"""
The limit: COPY of rows that somebody has normalised already, into the same tables with the same indexes.

The rows are read back from a database that holds them, so that they have exactly the columns that ours have. Users
and items go first, a share on each connection; then orders and lines in batches as large as our chunks, by turns.
Foreign keys are not checked (replica role). It does nothing else: no reading, no checks, no books.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import Final

import psycopg2
from psycopg2 import extensions

from benchmarks.contenders.contender import Contender, Measurement
from benchmarks.databases import CHECKOUT, Database
from benchmarks.processes import run
from benchmarks.samples import SampleFile

Session = extensions.connection

COPY_BUFFER_BYTES: Final = 1 << 20
PARENTS: Final = {"accounts_user": "id", "orders_item": "sku", "accounts_rolemembership": "id"}
FACTS: Final = {"orders_order": "id", "orders_orderline": "order_id"}
PARENT_SHARES: Final = 2


def limit(rows: Path, *, connections: int, records: int, rounds: int) -> Contender:
    """
    COPY over one or more connections.

    Args:
        rows: directory that `extract` has filled.
    """

    def load(database: Database, sample: SampleFile) -> Measurement:
        command = [sys.executable, "-m", "benchmarks.contenders.limit", str(rows), str(connections)]
        done = run(command, environment=database.environment, directory=CHECKOUT)
        seconds = float(json.loads(done.stdout)["seconds"])
        return Measurement(sample.expected.loaded, seconds, done.seconds, done.memory.heaviest)

    label = f"the limit: COPY of normalised rows, {connections} connection{'s' if connections > 1 else ''}"
    return Contender(f"limit{connections}", label, load, records, rounds, connections=connections)


def extract(database: Database, directory: Path, *, batches: int) -> None:
    """
    Write the rows of a loaded database as COPY files, sorted by key.

    Args:
        directory: existing; gets two files for each table of users and items, and one pair for each batch.
        batches: how many batches to make of the orders and their lines.
    """
    with closing(psycopg2.connect(database.url)) as session:
        for table, key in PARENTS.items():
            for share, (low, high) in enumerate(_ranges(session, table, key, PARENT_SHARES)):
                _copy_out(session, table, key, low, high, directory / f"parents.{share}.{table}")
        for batch, (low, high) in enumerate(_ranges(session, "orders_order", "id", batches)):
            for table, key in FACTS.items():
                _copy_out(session, table, key, low, high, directory / f"facts.{batch:05d}.{table}")


def _ranges(session: Session, table: str, key: str, parts: int) -> list[tuple[str, str | None]]:
    """Half-open ranges of the key with equal numbers of rows; no row, no range."""
    with session.cursor() as cursor:
        cursor.execute(
            f"SELECT min({key})::text FROM (SELECT {key}, ntile(%s) OVER (ORDER BY {key}) AS part FROM {table}) parted "
            "GROUP BY part ORDER BY part",
            [parts],
        )
        lows = [low for (low,) in cursor.fetchall()]
    return [(low, following) for low, following in zip_longest(lows, lows[1:])]


def _copy_out(session: Session, table: str, key: str, low: str, high: str | None, path: Path) -> None:
    with session.cursor() as cursor, path.open("wb") as file:
        condition = f"{key} >= %s" if high is None else f"{key} >= %s AND {key} < %s"
        order = f"{key}, line_no" if table == "orders_orderline" else key
        query = f"COPY (SELECT * FROM {table} WHERE {condition} ORDER BY {order}) TO STDOUT"
        bounds = [bound for bound in (low, high) if bound is not None]
        cursor.copy_expert(cursor.mogrify(query, bounds).decode(), file, size=COPY_BUFFER_BYTES)


def _copy_files(session: Session, paths: Iterable[Path]) -> None:
    """COPY files in one transaction; the end of a file's name is its table."""
    with session, session.cursor() as cursor:
        for path in paths:
            with path.open("rb") as file:
                cursor.copy_expert(f"COPY {path.suffix[1:]} FROM STDIN", file, size=COPY_BUFFER_BYTES)


def _transactions(directory: Path, stage: str) -> list[list[Path]]:
    grouped: dict[str, list[Path]] = {}
    # In alphabetical order orders come before their lines.
    for path in sorted(directory.glob(f"{stage}.*")):
        grouped.setdefault(path.stem, []).append(path)
    return list(grouped.values())


def _work(session: Session, transactions: list[list[Path]]) -> None:
    for paths in transactions:
        _copy_files(session, paths)


def _copy_all(directory: Path, sessions: list[Session]) -> None:
    with ThreadPoolExecutor(len(sessions)) as threads:
        for stage in ("parents", "facts"):
            transactions = _transactions(directory, stage)
            shares = [transactions[first :: len(sessions)] for first in range(len(sessions))]
            list(threads.map(_work, sessions, shares))


def main() -> int:
    """Load the files of a directory into the database of DATABASE_URL and print how long it took."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("connections", type=int)
    arguments = parser.parse_args()
    url = os.environ["DATABASE_URL"]
    sessions = [
        psycopg2.connect(url, options="-c session_replication_role=replica") for _ in range(arguments.connections)
    ]
    started = time.perf_counter()
    _copy_all(arguments.directory, sessions)
    print(json.dumps({"seconds": time.perf_counter() - started}))
    for session in sessions:
        session.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
