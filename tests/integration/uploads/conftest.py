"""Storage of uploads on the file system and on a real S3 server process (moto's); people; a site to upload to."""

import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from pytest_django import Settings

from accounts.models import User
from tests.serving import free_port
from tests.uploading import Client, Served, served_site

S3_KEYS = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests", "region_name": "us-east-1"}


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """A running S3 server; its process ends with the session."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/moto-api/", timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    yield url
    process.kill()
    process.wait()


@pytest.fixture
def bucket(s3_url: str) -> tuple[str, str]:
    """A new bucket: (URL of the server, its name)."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    client = boto3.client("s3", endpoint_url=s3_url, **S3_KEYS)
    client.create_bucket(Bucket=name)
    client.close()
    return s3_url, name


@pytest.fixture
def s3_environment(bucket: tuple[str, str]) -> dict[str, str]:
    """What a process needs to keep uploads in that bucket."""
    return {
        "UPLOADS_S3_BUCKET": bucket[1],
        "UPLOADS_S3_ENDPOINT_URL": bucket[0],
        "UPLOADS_S3_REGION": "us-east-1",
        "UPLOADS_S3_ACCESS_KEY": "tests",
        "UPLOADS_S3_SECRET_KEY": "tests",
        "UPLOADS_S3_PREFIX": "somewhere/uploads",
    }


@pytest.fixture
def on_files(settings: Settings, tmp_path: Path) -> Path:
    """Uploads of this test lie below the returned directory."""
    options = {"location": str(tmp_path / "media/uploads")}
    _store(settings, {"BACKEND": "ingestion.uploads.storage.FileSystemSegmentStorage", "OPTIONS": options})
    return tmp_path / "media/uploads"


@pytest.fixture
def on_s3(settings: Settings, bucket: tuple[str, str]) -> str:
    """Uploads of this test lie in the bucket that is returned."""
    options = {
        "endpoint_url": bucket[0],
        "bucket_name": bucket[1],
        "access_key": "tests",
        "secret_key": "tests",
        "region_name": "us-east-1",
        "location": "somewhere/uploads",
    }
    _store(settings, {"BACKEND": "ingestion.uploads.s3.S3SegmentStorage", "OPTIONS": options})
    return bucket[1]


@pytest.fixture(params=["files", "s3"])
def stored(request: pytest.FixtureRequest) -> str:
    """The test runs on both storages."""
    request.getfixturevalue("on_files" if request.param == "files" else "on_s3")
    return str(request.param)


@pytest.fixture
def person(db: None) -> Callable[[str], User]:
    """Makes people: `person("alice")`."""

    def make(name: str, **attributes: Any) -> User:
        return User.objects.create(id=name, name=name.title(), email=f"{name}@example.com", password="!", **attributes)

    return make


@pytest.fixture
def alice(person: Callable[[str], User]) -> User:
    """Alice owns."""
    return person("alice")


@pytest.fixture
def data() -> bytes:
    """Bytes that look different everywhere."""
    return os.urandom(1 << 20) * 3 + os.urandom(12_345)


def _store(settings: Settings, uploads: dict[str, Any]) -> None:
    settings.STORAGES = {**settings.STORAGES, "uploads": uploads}


@pytest.fixture(scope="module")
def served(
    request: pytest.FixtureRequest, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A site that the tests of a module share; a module may name variables of its environment in `ENVIRONMENT`."""
    with served_site(tmp_path_factory.mktemp("served"), **getattr(request.module, "ENVIRONMENT", {})) as found:
        yield found


@pytest.fixture
def client(served: Served) -> Client:
    """Alice's client."""
    return served.client()
