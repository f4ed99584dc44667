"""Segments in a bucket of S3 or of a server that speaks its protocol."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from storages.backends.s3 import S3Storage

from ingestion.uploads.errors import StorageUnavailableError
from ingestion.uploads.storage import SegmentStorage


class S3SegmentStorage(SegmentStorage, S3Storage):
    """
    Segments as objects of a bucket. One PUT each, so that a broken one leaves nothing behind.

    One client serves all threads of a process (clients are thread-safe, sessions and resources are not), and a forked
    process makes its own, since it must not use its parent's connections.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._client_lock = threading.Lock()
        self._client_pid, self._client = 0, None

    def get_default_settings(self) -> dict[str, Any]:
        defaults = cast(dict[str, Any], super().get_default_settings())
        # Names are never used twice, so nothing needs to be asked before writing.
        return defaults | {"file_overwrite": True}

    @property
    def client(self) -> Any:
        """The S3 client of this process."""
        with self._client_lock:
            if self._client_pid != os.getpid():
                self._client_pid, self._client = os.getpid(), self._new_client()
            return self._client

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        wanted = f"bytes={offset}-{offset + length - 1}"
        with _translated():
            try:
                found = self.client.get_object(Bucket=self.bucket_name, Key=self._key(name), Range=wanted)
                return bytes(found["Body"].read())
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "InvalidRange":
                    return b""
                if code in ("NoSuchKey", "404"):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from error
                raise

    def delete(self, name: str) -> None:
        with _translated():
            self.client.delete_object(Bucket=self.bucket_name, Key=self._key(name))

    def names(self, *, before: datetime) -> Iterator[str]:
        prefix = self._key("") + "/" if self.location else ""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket_name, Prefix=prefix)
        for page in pages:
            for found in page.get("Contents", ()):
                if found["LastModified"] < before:
                    yield found["Key"].removeprefix(prefix)

    def _save(self, name: str, content: Any) -> str:
        with _translated():
            self.client.put_object(
                Bucket=self.bucket_name,
                Key=self._key(name),
                Body=getattr(content, "file", content),
                **self._get_write_parameters(name, content),
            )
        return name

    def _key(self, name: str) -> str:
        return str(self._normalize_name(name)).rstrip("/")

    def _new_client(self) -> Any:
        config = Config(
            connect_timeout=5,
            read_timeout=30,
            retries={"total_max_attempts": 4, "mode": "standard"},
            max_pool_connections=32,
            signature_version=self.signature_version,
            s3={"addressing_style": self.addressing_style},
        )
        return self._create_session().client(
            "s3", region_name=self.region_name, endpoint_url=self.endpoint_url, verify=self.verify, config=config
        )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise StorageUnavailableError(reason=f"{type(error).__name__}: {error}") from error
