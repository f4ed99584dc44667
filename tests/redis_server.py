"""A Valkey that only one test knows, so that it may be frozen, killed and started again."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from config.embedded.place import home_directory, place_open
from config.embedded.programs import valkey_program
from tests.serving import free_port


class OwnRedis:
    """`url`; `freeze()`, `thaw()`, `kill()`, `start()`. It keeps nothing when it is started again."""

    def __init__(self, directory: Path) -> None:
        self._port = free_port()
        self._directory = directory
        self._program = str(valkey_program(place_open(home_directory())))
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        """Start it, empty, on the same port."""
        command = [self._program, "--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            command, cwd=self._directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        until = time.monotonic() + 20
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError:
                assert time.monotonic() < until, "valkey does not start"
                time.sleep(0.05)

    def client(self) -> redis.Redis:
        """A client with time to wait."""
        return redis.Redis(host="127.0.0.1", port=self._port, decode_responses=True)

    def freeze(self) -> None:
        """It accepts connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; all messages are gone."""
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    """A Redis of the test's own."""
    server = OwnRedis(tmp_path)
    yield server
    server.kill()
