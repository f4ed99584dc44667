"""Checksums of one request's bytes (tus 1.0, extension checksum)."""

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable
from hmac import compare_digest
from typing import Any, Final, Self

from ingestion.uploads.errors import ChecksumInvalidError, ChecksumMismatchError


class _Crc32:
    digest_size = 4

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: memoryview | bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


ALGORITHMS: Final[dict[str, Callable[[], Any]]] = {
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "crc32": _Crc32,
}


class Checksum:
    """What a client says about its bytes: `update` with them, then `verify`."""

    def __init__(self, algorithm: str, expected: bytes) -> None:
        self.algorithm, self._expected = algorithm, expected
        self._digest = ALGORITHMS[algorithm]()

    @classmethod
    def from_header(cls, value: str) -> Self:
        """
        Parse Upload-Checksum: "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=".

        Raises:
            ChecksumInvalidError: an algorithm that we do not know, or no checksum of its kind.
        """
        algorithm, _, encoded = value.partition(" ")
        try:
            expected = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            expected = b""
        if algorithm not in ALGORITHMS or len(expected) != ALGORITHMS[algorithm]().digest_size:
            raise ChecksumInvalidError(algorithms=", ".join(ALGORITHMS))
        return cls(algorithm, expected)

    def update(self, data: memoryview | bytes) -> None:
        """Count bytes in."""
        self._digest.update(data)

    def verify(self) -> None:
        """Raises ChecksumMismatchError."""
        if not compare_digest(self._digest.digest(), self._expected):
            raise ChecksumMismatchError(algorithm=self.algorithm)
