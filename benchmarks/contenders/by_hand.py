"""SQL by hand: psql, a staging table, and four INSERT … SELECT."""

import shutil
from pathlib import Path
from typing import Final

from django.conf import settings

from benchmarks.contenders.contender import Contender, Measurement
from benchmarks.databases import Database
from benchmarks.processes import run
from benchmarks.samples import SampleFile

SCRIPT: Final = Path(__file__).with_suffix(".sql")


def by_hand(*, foreign_keys: bool, records: int, rounds: int) -> Contender:
    """
    One psql session.

    Args:
        foreign_keys: whether Postgres checks them, as it does unless told otherwise.
    """
    role = "origin" if foreign_keys else "replica"
    program = _psql()

    def load(database: Database, sample: SampleFile) -> Measurement:
        environment = {**database.environment, "PGOPTIONS": f"-c session_replication_role={role}"}
        command = [str(program), "--no-psqlrc", "--quiet", "--file", str(SCRIPT), database.url]
        with sample.path.open("rb") as file:
            done = run(command, environment=environment, directory=SCRIPT.parent, stdin=file)
        return Measurement(sample.expected.loaded, done.seconds, done.seconds, done.memory.heaviest)

    label = r"by hand: `\copy` + 4 `INSERT … SELECT DISTINCT ON`, " + ("" if foreign_keys else "no ") + "foreign keys"
    obstacle = None if program else "psql is not installed"
    return Contender(f"hand_{role}", label, load, records, rounds, obstacle=obstacle)


def _psql() -> Path | None:
    """The psql of the embedded server where that is used, else the one on the PATH."""
    if settings.DATABASES["default"]["ENGINE"] == "config.embedded.backend":
        from config.embedded.place import home_directory, place_open
        from config.embedded.programs import postgres_program

        return postgres_program(place_open(home_directory()), "psql")
    found = shutil.which("psql")
    return Path(found) if found else None
