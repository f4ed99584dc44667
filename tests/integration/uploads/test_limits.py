"""Quota, size, and a disk that is full."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.uploading import Client, curl

MIB = 1 << 20
ENVIRONMENT = {"UPLOAD_QUOTA_BYTES": str(40 * MIB), "UPLOAD_SEGMENT_BYTES": str(MIB)}


def code(body: bytes | str) -> str:
    return str(json.loads(body)["code"])


class TestQuota:
    def test_what_is_announced_is_reserved(self, served: Any) -> None:
        bob = served.client("bob")
        first = bob.create(30 * MIB)
        answer = bob.creation(11 * MIB)
        assert (answer.status, code(answer.body)) == (413, "upload_quota_exceeded")
        assert json.loads(answer.body)["used_bytes"] == 30 * MIB
        assert bob.delete(first).status == 204
        second = bob.create(11 * MIB)
        assert served.client("alice").creation(40 * MIB).status == 201  # a quota is one's own
        bob.delete(second)

    def test_what_was_not_announced_is_refused_as_it_comes(self, served: Any) -> None:
        bob = served.client("bob")
        other = bob.create(35 * MIB)
        path = bob.create(Upload_Defer_Length=1)
        answer = bob.patch(path, iter([b"x" * MIB] * 8), 0, chunked=True)
        assert (answer.status, code(answer.body)) == (413, "upload_quota_exceeded")
        assert bob.head(path).offset <= 5 * MIB
        for each in (other, path):
            bob.delete(each)

    def test_whole_files_count_too(self, served: Any, tmp_path: Path) -> None:
        bob = served.client("bob")
        (tmp_path / "large").write_bytes(b"x" * 41 * MIB)
        done = curl("-T", str(tmp_path / "large"), "-H", f"Authorization: Bearer {bob.token}", f"{bob.url}/imports")
        assert code(done.stdout) == "upload_quota_exceeded"


@pytest.fixture
def small_disk(served: Any) -> Iterator[Path]:
    """Uploads of this test lie on a file system of 12 MiB."""
    served.media.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(served.media)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"may not mount a file system here: {mounted.stderr.decode().strip()}")
    yield served.media
    subprocess.run(["umount", "-l", str(served.media)], check=True)


def free(client: Client) -> None:
    """Make room for the next test."""
    for found in json.loads(client.send("GET", "/uploads").body)["results"]:
        client.delete(found["url"])


class TestFullDisk:
    def test_refused_kept_and_gone_on_with(self, served: Any, client: Client, small_disk: Path) -> None:
        free(client)
        data = os.urandom(9 * MIB)
        (small_disk / "something else").write_bytes(b"x" * 6 * MIB)
        path = client.create(len(data))
        answer = client.patch(path, data, 0)
        assert (answer.status, code(answer.body)) == (507, "storage_full")
        offset = client.head(path).offset
        assert 4 * MIB <= offset < 7 * MIB
        assert served.stored(path) == data[:offset]

        (small_disk / "something else").unlink()
        assert client.patch(path, data[offset:], offset).offset == len(data)
        assert served.stored(path) == data

    def test_bytes_with_a_checksum_are_all_or_nothing(self, client: Client, small_disk: Path) -> None:
        free(client)
        path = client.create(20 * MIB)
        answer = client.patch(path, b"x" * 13 * MIB, 0, Upload_Checksum="sha1 " + "A" * 27 + "=")
        assert (answer.status, client.head(path).offset) == (507, 0)
        assert client.patch(path, b"x" * 10 * MIB, 0).status == 204  # what was written was removed

    def test_whole_file(self, client: Client, small_disk: Path, tmp_path: Path) -> None:
        free(client)
        (tmp_path / "large").write_bytes(os.urandom(14 * MIB))
        done = curl(
            *("-T", str(tmp_path / "large"), "-H", f"Authorization: Bearer {client.token}", f"{client.url}/imports")
        )
        assert code(done.stdout) == "storage_full"
        found = json.loads(client.send("GET", "/uploads?state=receiving").body)["results"][0]
        assert (found["kind"], found["length"]) == ("whole", 14 * MIB)
        assert 10 * MIB < found["offset"] <= 12 * MIB
