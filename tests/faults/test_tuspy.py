"""
tuspy uploads a file while the web process is killed three times on the way: the same bytes, imported, balanced.

`SLUICE_TUSPY_MB=2048` asks for a file of that size instead of a small one.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tusclient.client import TusClient

from tests.conftest import Manage
from tests.serving import Site, Workers
from tests.uploading import Client, make_people

MB = 1_000_000
SIZE_MB = int(os.environ.get("SLUICE_TUSPY_MB", "24"))
CHUNK_BYTES = max(2 << 20, min(64 << 20, SIZE_MB * MB // 24))
KILLED_AT = (0.15, 0.45, 0.75)
PATIENCE_SECONDS = 120 + SIZE_MB
READ = """
import hashlib
from ingestion.uploads.reading import UploadReader
digest = hashlib.sha256()
for block in UploadReader("{upload}").blocks():
    digest.update(block)
print(digest.hexdigest())
"""


@pytest.fixture
def csv(manage: Manage, tmp_path: Path) -> Iterator[Path]:
    """Orders, some of them with defects."""
    path = tmp_path / "orders.csv"
    done = manage(
        "make_sample_csv", str(path), "--bytes", f"{SIZE_MB}M", "--seed", "3", "--defects", "invalid_email:50"
    )
    assert done.returncode == 0, done.stderr
    yield path
    path.unlink()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Killer(threading.Thread):
    """Kills the only web process whenever the upload has come far enough."""

    def __init__(self, site: Site, client: Client, path: str, size: int) -> None:
        super().__init__(daemon=True)
        self._site, self._client, self._path, self._size = site, client, path, size
        self.killed_at: list[int] = []

    def run(self) -> None:
        for share in KILLED_AT:
            while (offset := self._offset()) < share * self._size:
                time.sleep(0.02)
            if offset < self._size:
                self._site.kill_a_worker()
                self.killed_at.append(offset)

    def _offset(self) -> int:
        """By GET, which disturbs nobody."""
        try:
            return int(json.loads(self._client.send("GET", self._path).body)["offset"])
        except (OSError, ValueError, LookupError):
            return -1  # it was killed a moment ago


def ended(client: Client, url: str) -> dict[str, Any]:
    """The import when it has a certificate."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = client.send("GET", f"{url}/certificate")
        if answer.status == 200:
            found: dict[str, Any] = json.loads(client.send("GET", url).body)
            return found | {"certificate": json.loads(answer.body)}
        assert time.monotonic() < until, client.send("GET", url).body
        time.sleep(0.3)


def test_the_web_process_is_killed_three_times(
    manage: Manage,
    serve: Callable[..., Site],
    workers: Callable[..., Workers],
    csv: Path,
    record_property: Callable[[str, object], None],
) -> None:
    manage.environment["UPLOAD_YIELD_SECONDS"] = "1"
    token = make_people(manage, ("alice", "integrator"))["alice"]
    site = serve(processes=1)
    client = Client(site.url, token)
    tus = TusClient(f"{site.url}/uploads", headers={"Authorization": f"Bearer {token}"})
    with csv.open("rb") as stream:
        uploader = tus.uploader(
            file_stream=stream, chunk_size=CHUNK_BYTES, retries=30, retry_delay=1, upload_checksum=True,
            metadata={"filename": "orders.csv"},
        )  # fmt: skip
        url = uploader.create_url()
        uploader.set_url(url)
        path = url.removeprefix(site.url)
        killer = Killer(site, client, path, csv.stat().st_size)
        killer.start()
        started = time.monotonic()
        uploader.upload()
        seconds = time.monotonic() - started
    killer.join(10)
    assert len(killer.killed_at) == len(KILLED_AT)

    done = manage("shell", "-c", READ.format(upload=path.rsplit("/", 1)[1]))
    assert done.stdout.split()[-1] == sha256(csv)
    workers(large=2)
    (made,) = json.loads(client.send("GET", path).body)["imports"]
    found = ended(client, made["url"])
    assert found["state"] == "completed_with_rejects"
    assert found["sources"][0]["sha256"] == sha256(csv)
    outcomes = found["outcomes"]
    assert sum(outcomes.values()) == found["progress"]["records_total"]
    assert outcomes["rejected"] == 50
    assert manage("verify_import", str(made["id"])).returncode == 0
    record_property("upload", f"{csv.stat().st_size / MB:.0f} MB in {seconds:.1f} s, killed at {killer.killed_at}")
