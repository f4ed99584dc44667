"""
Kill -9 whatever takes part in an upload that is imported while it arrives: the rows are those of the command line.

`SLUICE_FAULT_KILLS=50` asks for more kills than the few of a usual run.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.conftest import Manage
from tests.faults.scenery import CHUNKS, DISAGREED, EMPTY, messy_file
from tests.flows.files import COUNTS, LOADED
from tests.serving import Site, Workers

KINDS = ("web", "large", "site", "steps", "large", "small")
KILLS = int(os.environ.get("SLUICE_FAULT_KILLS", len(KINDS)))
KILLS_A_ROUND = 8
PATIENCE_SECONDS = 120
PIECE_BYTES = 200_000
PEOPLE = "SELECT id, email, name, age, country FROM accounts_user WHERE id <> 'alice' ORDER BY id"
PROFILE = """
name = "settled"
[reading]
encoding = "utf-8"
[formats]
day_first = false
date_formats = ["%Y-%m-%d"]
decimal_separator = "."
thousands_separators = []
currency_signs = []
[rules]
max_error_ratio = 1.0
"""


@dataclass
class Client:
    """A tus client that does not give up."""

    site: Site
    token: str

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """One request; raises OSError or http.client.HTTPException when it gets no answer."""
        place = urlsplit(self.site.url)
        assert place.hostname is not None
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
        try:
            told = {"Authorization": f"Bearer {self.token}", "Tus-Resumable": "1.0.0"}
            told |= {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body=body, headers=told)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def insist(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Until it is answered by something better than an error of the server."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = self.call(method, path, body, **headers)
                if answer[0] < 500:
                    return answer
            assert time.monotonic() < until, f"{method} {path} is not answered"
            time.sleep(0.1)

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """A request whose body and answer are JSON."""
        data = b"" if body is None else json.dumps(body).encode()
        status, _, answer = self.insist(method, path, data, Content_Type="application/json")
        assert status < 400, answer
        return json.loads(answer)

    def begin(self, path: Path) -> str:
        """Create an upload of a file; returns its path."""
        length = str(path.stat().st_size)
        status, headers, answer = self.insist(
            "POST", "/uploads", Upload_Length=length, Upload_Metadata="filename bS5jc3Y=,start bWFudWFs"
        )
        assert status == 201, answer
        return urlsplit(headers["location"]).path

    def send(self, upload: str, path: Path, *, pause_seconds: float) -> None:
        """Send what is missing, piece by piece, as often as it takes."""
        data = path.read_bytes()
        offset = 0
        while offset < len(data):
            body = data[offset : offset + PIECE_BYTES]
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.call(
                    "PATCH", upload, body, Upload_Offset=str(offset), Content_Type="application/offset+octet-stream"
                )
            _, headers, _ = self.insist("HEAD", upload)
            offset = int(headers["upload-offset"])
            time.sleep(pause_seconds)


@dataclass
class Scene:
    """Two web processes, task workers and a sweeper, on a database in which the command line has shown the result."""

    manage: Manage
    connect: Callable[[], Any]
    path: Path
    client: Client
    crew: Workers
    killed: Counter[str] = field(default_factory=Counter)

    def kill(self, chance: random.Random) -> None:
        """Kill a web process, all of the web, or one of the workers; somebody starts it again."""
        kind = KINDS[self.killed.total() % len(KINDS)]
        with contextlib.suppress(psutil.Error, ProcessLookupError, IndexError):
            if kind == "web":
                self.client.site.kill_a_worker(number=chance.randrange(2))
            elif kind == "site":
                self.client.site.restart()
            else:
                self.crew.kill(chance.choice({"steps": [0], "small": [1], "large": [2, 3]}[kind]))
            self.killed[kind] += 1

    def run(self, chance: random.Random, *, kills: int) -> int:
        """Upload and import the file, killing something now and then; returns the import's id."""
        upload = self.client.begin(self.path)
        profile = tomllib.loads(PROFILE)
        wish = {"upload": upload.rpartition("/")[2], "profile": profile, "while_uploading": True}
        import_id: int = self.client.json("POST", "/imports", wish)["id"]
        sender = threading.Thread(target=self.client.send, args=[upload, self.path], kwargs={"pause_seconds": 0.05})
        sender.start()
        while kills:
            time.sleep(chance.uniform(0.1, 1.0))
            self.kill(chance)
            kills -= 1
        sender.join(PATIENCE_SECONDS)
        assert not sender.is_alive()
        self.await_end(import_id)
        return import_id

    def await_end(self, import_id: int) -> None:
        """Until it has a certificate."""
        until = time.monotonic() + PATIENCE_SECONDS
        with self.connect().cursor() as cursor:
            while True:
                cursor.execute(
                    "SELECT state, reason FROM ingestion_import WHERE id = %s AND certificate IS NOT NULL", [import_id]
                )
                row = cursor.fetchone()
                if row:
                    assert row[0] == "completed_with_rejects", (row, self.crew.log.read_text()[-5000:])
                    return
                assert time.monotonic() < until, self.crew.log.read_text()[-5000:]
                time.sleep(0.1)

    def state(self, import_id: int) -> dict[str, Any]:
        """Everything that has to be the same."""
        with self.connect().cursor() as cursor:
            cursor.execute("SELECT certificate FROM ingestion_import WHERE id = %s", [import_id])
            certificate = cursor.fetchone()[0]
            found: dict[str, Any] = {"counts": {name: certificate[name] for name in (*COUNTS, *DISAGREED)}}
            for name, statement in {**LOADED, "users": PEOPLE, "chunks": CHUNKS}.items():
                cursor.execute(statement)
                found[name] = cursor.fetchall()
            cursor.execute("SELECT source, count(*) FROM outbox_entry WHERE kind = 'bulk' GROUP BY 1 ORDER BY 1")
            found["events"] = cursor.fetchall()
        return found

    def empty(self) -> None:
        """As after migrating, with Alice in it."""
        with self.connect().cursor() as cursor:
            cursor.execute(EMPTY)
        self.client.token = token_of_alice(self.manage, self.connect)


def token_of_alice(manage: Manage, connect: Callable[[], Any]) -> str:
    with connect().cursor() as cursor:
        cursor.execute(
            """INSERT INTO accounts_user
                   (id, email, name, country, password, is_active, is_staff, is_superuser, version)
               VALUES ('alice', 'alice@example.com', 'Alice', '', 'x', true, true, true, 1) ON CONFLICT DO NOTHING"""
        )
    done = manage("create_token", "alice")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def scene(
    manage: Manage,
    connect: Callable[[], Any],
    serve: Callable[..., Site],
    workers: Callable[..., Workers],
    tmp_path: Path,
) -> Scene:
    path = tmp_path / "m.csv"
    messy_file(path, records=60_000, seed=7)
    client = Client(serve(processes=2), "")
    return Scene(manage, connect, path, client, workers(large=2, sweep_seconds=3))


def by_command(scene: Scene) -> dict[str, Any]:
    """What the command line makes of the file."""
    profile = scene.manage.directory / "settled.toml"
    profile.write_text(PROFILE)
    rejects = str(scene.manage.directory / "rejects")
    done = scene.manage("ingest_csv", str(scene.path), "--profile", str(profile), "--json", "--rejects", rejects)
    assert done.returncode == 3, done.stderr
    return scene.state(json.loads(done.stdout)["import_id"])


def test_killing_anything_while_an_upload_is_imported_changes_nothing(scene: Scene) -> None:
    expected = by_command(scene)
    assert expected["counts"]["rejected"] > 1000
    assert len(expected["chunks"]) >= 4
    seed = 0
    while scene.killed.total() < KILLS:
        scene.empty()
        seed += 1
        import_id = scene.run(random.Random(seed), kills=min(KILLS_A_ROUND, KILLS - scene.killed.total()))
        found = scene.state(import_id)
        for name in expected:
            assert found[name] == expected[name], f"{name} differ after {dict(scene.killed)} (seed {seed})"
    checked = scene.manage("verify_import", "--all")
    assert checked.returncode == 0, checked.stdout
