"""pgloader into one flat table without indexes: it does not normalise, so this is only its reading and copying."""

import shutil
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.contenders.contender import Contender, Measurement, WrongRowsError, file_name
from benchmarks.databases import Database
from benchmarks.processes import run
from benchmarks.samples import SampleFile
from ingestion.sample.spec import DEFAULT_COLUMNS

TYPES: Final = {"quantity": "integer", "unit_price": "numeric(18, 4)", "ordered_at": "timestamptz"}
TABLE: Final = "flat"
SCRIPT: Final = """
LOAD CSV FROM '{file}' ({columns})
INTO {url}
TARGET TABLE public.{table} ({columns})
WITH skip header = 1, fields terminated by ',', fields optionally enclosed by '"';
"""


def pgloader(*, records: int, rounds: int) -> Contender:
    """The installed pgloader, with its defaults."""
    obstacle = None if shutil.which("pgloader") else "pgloader is not installed"
    label = "pgloader into ONE flat table without indexes"
    return Contender("pgloader", label, _load, records, rounds, normalises=False, obstacle=obstacle)


def _load(database: Database, sample: SampleFile) -> Measurement:
    columns = ", ".join(f"{name} {TYPES.get(name, 'text')}" for name in DEFAULT_COLUMNS)
    database.query(f"CREATE TABLE {TABLE} ({columns})")
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "load"
        script.write_text(
            SCRIPT.format(
                file=file_name(sample.path), columns=", ".join(DEFAULT_COLUMNS), url=_url(database), table=TABLE
            )
        )
        command = ["pgloader", "--root-dir", directory, str(script)]
        done = run(command, environment=database.environment, directory=Path(directory))
    if database.count(TABLE) != sample.expected.records:
        raise WrongRowsError(f"pgloader: {database.count(TABLE):,} rows\n{done.stdout}")
    return Measurement(sample.expected.records, done.seconds, done.seconds, done.memory.heaviest)


def _url(database: Database) -> str:
    """Its own spelling of a socket's directory: `unix:/path:port`."""
    server = database.server
    host = f"unix:{server.host}:{server.port or 5432}" if server.host.startswith("/") else server.host
    port = f":{server.port}" if server.port and not server.host.startswith("/") else ""
    account = server.user + (f":{server.password}" if server.password else "")
    return f"postgresql://{account}@{host}{port}/{database.name}"
