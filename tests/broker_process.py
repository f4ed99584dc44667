"""A broker that a test may freeze, kill and start again: what Apache Kafka and the embedded one have in common."""

import contextlib
import ctypes
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

START_SECONDS: Final = 90
STOP_SECONDS: Final = 60
PR_SET_PDEATHSIG: Final = 1

_libc: Any = ctypes.CDLL(None)


class BrokerProcess:
    """
    One broker on a port of its own, which it keeps over `kill()` and `start()`.

    `bootstrap` is its `host:port`, `pid` its process, `log` the file with what it said.

    Args:
        directory: for its data and its log.
        port: of the loopback interface.
    """

    keeps_data: bool = True
    """Whether topics and events survive `kill()` and `start()`."""

    def __init__(self, directory: Path, *, port: int) -> None:
        self.directory = directory
        self.port = port
        self.bootstrap = f"127.0.0.1:{port}"
        self.log = directory / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        """Program and arguments."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if self._process is not None and self._process.poll() is None:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=_die_with_the_tests,
            )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"the broker does not start:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """SIGTERM, and wait until it has ended."""
        if self._process is None:
            return
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, as a lost machine would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def freeze(self) -> None:
        """It keeps its connections and answers nothing until `thaw()`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def mend(self) -> None:
        """Make it run again, whatever a test did to it."""
        self.thaw()
        self.start()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2):
            return self._knows_itself()
        return False

    def _knows_itself(self) -> bool:
        from kafka import KafkaAdminClient  # a quarter of a second, which most tests need not spend
        from kafka.errors import KafkaError

        try:
            client = KafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=5_000)
        except (KafkaError, OSError):
            return False
        try:
            return bool(client.describe_cluster()["brokers"])
        except (KafkaError, OSError):
            return False
        finally:
            client.close()


def _die_with_the_tests() -> None:
    """Even when they are killed; only Linux knows how."""
    with contextlib.suppress(AttributeError):
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
