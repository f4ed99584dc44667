"""
Kill -9 whatever takes part in an import, at any moment, and start again: the result is that of an undisturbed run.

`SLUICE_FAULT_KILLS=50` asks for more kills than the few of a usual run.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from config.embedded.place import CHECKOUT, place_open
from tests import preloaded
from tests.conftest import Manage
from tests.faults.scenery import CHUNKS, DISAGREED, EMPTY, messy_file
from tests.flows.files import COUNTS, LOADED

KINDS = ("child", "postgres", "command", "child", "group")
KILLS = int(os.environ.get("SLUICE_FAULT_KILLS", len(KINDS)))
KILLS_A_ROUND = 5
PATIENCE_SECONDS = 120


@dataclass
class Scene:
    """An instance of Postgres of its own, and the command that loads one file into it."""

    manage: Manage
    services: dict[str, str]
    path: Path
    killed: Counter[str] = field(default_factory=Counter)

    def url(self) -> str:
        command = ["-m", "config.embedded", "url", "postgres"]
        environment = {**os.environ, **self.services}
        done = preloaded.run(command, cwd=CHECKOUT, env=environment, timeout=PATIENCE_SECONDS)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        server = psycopg2.connect(self.url())
        server.autocommit = True
        try:
            with server.cursor() as cursor:
                yield cursor
        finally:
            server.close()

    def start(self) -> subprocess.Popen[str]:
        arguments = ["ingest_csv", str(self.path), "--workers", "2", "--json", "--rejects", str(self.manage.directory)]
        with self.out.open("w") as out, self.told.open("w") as told:
            return self.manage.start(*arguments, env=self.services, stdout=out, stderr=told)

    @property
    def out(self) -> Path:
        return self.manage.directory / "out.json"

    @property
    def told(self) -> Path:
        return self.manage.directory / "told.txt"

    def end(self, process: subprocess.Popen[str]) -> dict[str, Any] | None:
        """Wait for the command; its certificate, or None when it did not come to its end."""
        process.wait(timeout=PATIENCE_SECONDS)
        told = self.told.read_text()
        assert "Traceback" not in told, told
        if process.returncode not in (0, 3):
            # Killed, or told the person to run it again.
            assert process.returncode == -signal.SIGKILL or "again" in told, (process.returncode, told)
            return None
        certificate: dict[str, Any] = json.loads(self.out.read_text())
        return certificate

    def kill(self, process: subprocess.Popen[str], kind: str) -> None:
        """Kill one of: a worker or the planner, the command, all its processes, the database server."""
        with contextlib.suppress(psutil.Error, ProcessLookupError, FileNotFoundError, IndexError, ValueError):
            if kind == "child":
                random.choice(psutil.Process(process.pid).children()).kill()
            elif kind == "command":
                process.kill()
            elif kind == "group":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                state = place_open(Path(self.services["SLUICE_LOCAL_DIR"])).state
                os.kill(int((state / "postgres" / "postmaster.pid").read_text().split("\n")[0]), signal.SIGKILL)
            self.killed[kind] += 1

    def state(self, certificate: dict[str, Any]) -> dict[str, Any]:
        """Everything that has to be the same."""
        with self.connected() as cursor:
            found: dict[str, Any] = {"counts": {name: certificate[name] for name in (*COUNTS, *DISAGREED)}}
            for name, statement in {**LOADED, "chunks": CHUNKS}.items():
                cursor.execute(statement)
                found[name] = cursor.fetchall()
        return found

    def events(self) -> Counter[str]:
        """How often an order was told to have been placed."""
        with self.connected() as cursor:
            cursor.execute("SELECT source, count(*) FROM outbox_entry WHERE kind = 'bulk' GROUP BY 1")
            return Counter(dict(cursor.fetchall()))

    def empty(self) -> None:
        with self.connected() as cursor:
            cursor.execute(EMPTY)


@pytest.fixture
def scene(manage: Manage, private_services: dict[str, str], tmp_path: Path) -> Scene:
    path = tmp_path / "messy.csv"
    messy_file(path, records=60_000, seed=7)
    scene = Scene(manage, private_services, path)
    done = manage("migrate", "-v", "0", env=private_services)
    assert done.returncode == 0, done.stderr
    return scene


def disturbed_run(scene: Scene, chance: random.Random, *, kills: int) -> dict[str, Any]:
    """Run the command again and again until it comes to its end, killing something now and then."""
    deadline = time.monotonic() + PATIENCE_SECONDS * 2
    while True:
        process = scene.start()
        time.sleep(chance.uniform(0.8, 2.5))
        while kills and process.poll() is None:
            scene.kill(process, KINDS[scene.killed.total() % len(KINDS)])
            kills -= 1
            time.sleep(chance.uniform(0.05, 1.5))
        certificate = scene.end(process)
        if certificate is not None:
            return certificate
        assert time.monotonic() < deadline, "it never came to its end"


def test_killing_anything_at_any_moment_changes_nothing(scene: Scene) -> None:
    certificate = disturbed_run(scene, random.Random(0), kills=0)
    assert certificate["chunks"] >= 4
    assert certificate["rejected"] > 1000
    undisturbed, events = scene.state(certificate), scene.events()
    seed = 0
    while scene.killed.total() < KILLS:
        seed += 1
        scene.empty()
        kills = min(KILLS_A_ROUND, KILLS - scene.killed.total())
        certificate = disturbed_run(scene, random.Random(seed), kills=kills)
        found = scene.state(certificate)
        for name in undisturbed:
            assert found[name] == undisturbed[name], f"{name} differ after {dict(scene.killed)} (seed {seed})"
        assert scene.events() == events
    checked = scene.manage("verify_import", "--all", env=scene.services)
    assert checked.returncode == 0, checked.stdout


WITH_SHORT_LEASES = """
import os, sys, django
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
sys.path.insert(0, {checkout!r})
django.setup()
from ingestion import heartbeat, queue
queue.LEASE_SECONDS, heartbeat.HEARTBEAT_SECONDS = 2, 0.5
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""


def test_worker_frozen_past_its_lease_changes_nothing(
    manage: Manage, connect: Callable[[], Any], tmp_path: Path
) -> None:
    """It wakes up while somebody else has its chunk, or has merged it already."""
    path = tmp_path / "messy.csv"
    messy_file(path, records=60_000, seed=8)
    command = [
        sys.executable,
        "-c",
        WITH_SHORT_LEASES.format(checkout=str(CHECKOUT)),
        "ingest_csv",
        str(path),
        "--json",
    ]
    process = subprocess.Popen(
        [*command, "--workers", "2", "--rejects", str(tmp_path)],
        cwd=tmp_path, env=manage.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    manage.started.append(process)
    frozen = freeze_a_worker(connect)
    try:
        deadline = time.monotonic() + 60
        with connect().cursor() as cursor:
            while True:
                cursor.execute("SELECT count(*) FROM ingestion_chunk WHERE token > 1")
                if cursor.fetchone()[0]:
                    break
                assert time.monotonic() < deadline, "nobody took over the frozen worker's chunk"
                time.sleep(0.1)
    finally:
        frozen.resume()
    out, told = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 3, told
    assert "Traceback" not in told
    certificate = json.loads(out)
    assert certificate["balanced"]
    with connect().cursor() as cursor:
        cursor.execute("SELECT count(*) FROM orders_orderline")
        assert cursor.fetchone()[0] == certificate["lines_inserted"]
    assert manage("verify_import", "1").returncode == 0


def freeze_a_worker(connect: Callable[[], Any]) -> psutil.Process:
    """Stop the first worker that holds a chunk."""
    deadline = time.monotonic() + 60
    with connect().cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SELECT worker FROM ingestion_chunk WHERE state = 'claimed' ORDER BY number LIMIT 1")
            row = cursor.fetchone()
            if row:
                process = psutil.Process(int(row[0].rpartition(":")[2]))
                process.suspend()
                cursor.execute("SELECT 1 FROM ingestion_chunk WHERE state = 'claimed' AND worker = %s", [row[0]])
                if cursor.fetchone():
                    return process
                process.resume()
            time.sleep(0.01)
    raise AssertionError("no worker ever held a chunk")
