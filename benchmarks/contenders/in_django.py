"""Contenders that are Django code: each runs as a module of its own in a fresh interpreter and prints its seconds."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import django

from benchmarks.contenders.contender import Measurement, file_name
from benchmarks.databases import CHECKOUT, Database
from benchmarks.processes import run
from benchmarks.samples import SampleFile


def measured_module(module: str) -> Callable[[Database, SampleFile], Measurement]:
    """What runs `python -m MODULE FILE` and reads the seconds that it prints."""

    def load(database: Database, sample: SampleFile) -> Measurement:
        command = [sys.executable, "-m", module, file_name(sample.path)]
        done = run(command, environment=database.environment, directory=CHECKOUT)
        seconds = float(json.loads(done.stdout.splitlines()[-1])["seconds"])
        return Measurement(sample.expected.loaded, seconds, done.seconds, done.memory.heaviest)

    return load


def timed_main(load: Callable[[Path], None]) -> None:
    """Set Django up, load the file that the command line names, and print the seconds."""
    django.setup()
    started = perf_counter()
    load(Path(sys.argv[1]))
    print(json.dumps({"seconds": perf_counter() - started}))
