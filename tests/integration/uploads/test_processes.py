"""One upload through several web processes, on files and in S3, with processes that die."""

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Manage
from tests.serving import Site, free_port
from tests.uploading import TYPE, Client, curl, make_people

MIB = 1 << 20
READ = """
import hashlib
from ingestion.uploads.reading import UploadReader
reader = UploadReader("{upload}")
digest = hashlib.sha256()
for block in reader.blocks(700_001):
    digest.update(block)
print(reader.size, digest.hexdigest())
"""

Serve = Callable[..., Site]


@pytest.fixture(params=["files", "s3"])
def storage(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of one storage."""
    if request.param == "files":
        return {}
    environment: dict[str, str] = request.getfixturevalue("s3_environment")
    return environment


@pytest.fixture
def begun(serve: Serve, manage: Manage, storage: dict[str, str]) -> tuple[Site, Client]:
    """A site of two web processes, and Alice's client."""
    manage.environment |= {"UPLOAD_SEGMENT_BYTES": str(2 * MIB), "UPLOAD_YIELD_SECONDS": "1", **storage}
    tokens = make_people(manage, ("alice", "integrator"))
    site = serve(processes=2)
    return site, Client(site.url, tokens["alice"])


def read_elsewhere(manage: Manage, path: str) -> tuple[int, str]:
    """Size and SHA-256, as yet another process reads them."""
    done = manage("shell", "-c", READ.format(upload=path.rsplit("/", 1)[1]))
    assert done.returncode == 0, done.stderr
    size, digest = done.stdout.split()[-2:]
    return int(size), digest


def test_requests_meet_different_processes(manage: Manage, begun: tuple[Site, Client]) -> None:
    _, client = begun
    data = os.urandom(11 * MIB + 3)
    path = client.create(len(data))
    for start in range(0, len(data), 3 * MIB):
        assert client.patch(path, data[start : start + 3 * MIB], start).status == 204
        assert client.head(path).offset == min(len(data), start + 3 * MIB)
    assert read_elsewhere(manage, path) == (len(data), hashlib.sha256(data).hexdigest())


def test_processes_that_are_killed(manage: Manage, begun: tuple[Site, Client]) -> None:
    """SIGKILL in the middle of a body, several times: the offset is never more than what is stored."""
    site, client = begun
    data = os.urandom(11 * MIB)
    path, offset, offsets = client.create(len(data)), 0, []
    for _ in range(2):
        with client.begin("PATCH", path, length=len(data) - offset, Content_Type=TYPE, Upload_Offset=offset) as opened:
            opened.sendall(data[offset : offset + 4 * MIB + 11])
            time.sleep(1.5)
            for number in range(2):
                site.kill_a_worker(number=number)
        offset = client.head(path).offset
        offsets.append(offset)
    assert offsets == sorted(offsets)
    assert offsets[-1] >= 4 * MIB
    assert client.patch(path, data[offset:], offset).status == 204
    assert read_elsewhere(manage, path) == (len(data), hashlib.sha256(data).hexdigest())


def test_two_writers_at_once_do_not_mix(manage: Manage, begun: tuple[Site, Client]) -> None:
    _, client = begun
    data = os.urandom(12 * MIB)
    path = client.create(len(data))

    def push() -> None:
        """A client that never gives up: asks for the offset, then sends all that is missing."""
        while (offset := client.head(path).offset) < len(data):
            try:
                client.patch(path, data[offset:], offset)
            except OSError:
                time.sleep(0.05)  # the other one took over

    threads = [threading.Thread(target=push) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert read_elsewhere(manage, path) == (len(data), hashlib.sha256(data).hexdigest())


def test_whole_file(manage: Manage, begun: tuple[Site, Client], tmp_path: Path) -> None:
    _, client = begun
    data = os.urandom(7 * MIB)
    (tmp_path / "file").write_bytes(data)
    done = curl(
        *("-T", str(tmp_path / "file"), "-H", f"Authorization: Bearer {client.token}"),
        f"{client.url}/imports?start=false",
    )
    assert hashlib.sha256(data).hexdigest() in done.stdout


def test_a_storage_that_is_away(serve: Serve, manage: Manage, s3_environment: dict[str, str]) -> None:
    manage.environment |= s3_environment | {"UPLOADS_S3_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    tokens = make_people(manage, ("alice", "integrator"))
    client = Client(serve(processes=1).url, tokens["alice"])
    path = client.create(3)
    answer = client.patch(path, b"abc", 0)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert b'"storage_unavailable"' in answer.body
    assert client.head(path).offset == 0
