"""Ours: `manage.py ingest_csv`, with everything on."""

import json
import sys
import tempfile

from benchmarks.contenders.contender import Contender, Measurement, WrongRowsError, file_name
from benchmarks.databases import CHECKOUT, Database
from benchmarks.processes import run
from benchmarks.samples import SampleFile


def ours(*, workers: int, records: int, rounds: int) -> Contender:
    """The command with a number of workers; its time is that of the import as the certificate has it."""

    def load(database: Database, sample: SampleFile) -> Measurement:
        return _load(database, sample, workers=workers)

    label = f"**Sluice**, {workers} worker{'s' if workers > 1 else ''}"
    return Contender(f"ours{workers}", label, load, records, rounds, connections=workers)


def _load(database: Database, sample: SampleFile, *, workers: int) -> Measurement:
    with tempfile.TemporaryDirectory() as rejects:
        options = ["--workers", str(workers), "--json", "--rejects", rejects]
        command = [sys.executable, "manage.py", "ingest_csv", file_name(sample.path), *options]
        done = run(command, environment=database.environment, directory=CHECKOUT)
    certificate = json.loads(done.stdout)
    if certificate["state"] != "completed" or certificate["loaded"] != sample.expected.loaded:
        raise WrongRowsError(f"the import ended {certificate['state']} with {certificate['loaded']:,} records loaded")
    return Measurement(certificate["records"], float(certificate["seconds"]), done.seconds, done.memory.heaviest)
