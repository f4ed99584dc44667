"""
`python -m benchmarks.loopback DIRECTORY`: the least that an upload can cost.

Listens on a port, which it prints; writes what each connection sends into a file, with an fsync after each 64 MiB and
at the end, as our segments have; answers one byte when all is on disk.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.databases import CHECKOUT

BUFFER_BYTES: Final = 1 << 20
SEGMENT_BYTES: Final = 64 << 20


def main() -> None:
    directory = Path(sys.argv[1])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                _receive(connection, directory / "copy")
                connection.sendall(b".")


def _receive(connection: socket.socket, path: Path) -> None:
    buffer = memoryview(bytearray(BUFFER_BYTES))
    path.unlink(missing_ok=True)
    unsynced = 0
    with path.open("wb", buffering=0) as file:
        while count := connection.recv_into(buffer):
            file.write(buffer[:count])
            unsynced += count
            if unsynced >= SEGMENT_BYTES:
                os.fsync(file.fileno())
                unsynced = 0
        os.fsync(file.fileno())


@contextmanager
def running_copier(directory: Path) -> Iterator[int]:
    """The program above; its port."""
    command = [sys.executable, "-m", "benchmarks.loopback", str(directory)]
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def copy_seconds(port: int, file: Path) -> float:
    """Send a file; seconds until it is on disk."""
    with socket.create_connection(("127.0.0.1", port)) as connection, file.open("rb") as source:
        begun = time.perf_counter()
        connection.sendfile(source)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        return time.perf_counter() - begun


if __name__ == "__main__":
    main()
