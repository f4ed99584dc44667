"""
Fixtures that run what Sluice runs in production – gunicorn and task workers – on the database of one test.

    def test_something(serve, http):
        site = serve(processes=2)          # gunicorn; site.url, site.kill_a_worker(), site.restart()
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.conftest import CHECKOUT, Manage

START_SECONDS: Final = 60


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Site:
    """One gunicorn with its worker processes."""

    def __init__(self, environment: dict[str, str], directory: Path, *, processes: int, threads: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / f"web-{self.port}.log"
        self._directory = directory
        self._environment = {
            **environment,
            "BIND": f"127.0.0.1:{self.port}",
            "WEB_PROCESSES": str(processes),
            "WEB_THREADS": str(threads),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start gunicorn and wait until it answers."""
        program = [sys.executable, "-m", "gunicorn", "-c", str(CHECKOUT / "config/gunicorn.py"), "config.wsgi"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                program, cwd=CHECKOUT, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/healthz", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                if time.monotonic() > until or self.process.poll() is not None:
                    raise RuntimeError(f"gunicorn does not start:\n{self.log.read_text()[-4000:]}") from None
                time.sleep(0.1)

    def worker_pids(self) -> list[int]:
        """Process ids of the web workers."""
        assert self.process is not None
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def kill_a_worker(self, *, number: int = 0) -> None:
        """SIGKILL one web worker; gunicorn starts another."""
        os.kill(self.worker_pids()[number], signal.SIGKILL)

    def stop(self, how: int = signal.SIGKILL) -> None:
        """Send a signal to gunicorn (SIGKILL: to its workers too) and wait until it is gone."""
        if self.process is None or self.process.poll() is not None:
            return
        if how == signal.SIGKILL:
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        self.process.wait(60)

    def restart(self) -> None:
        """Kill everything and start again on the same port."""
        self.stop()
        self.start()


@pytest.fixture
def serve(manage: Manage) -> Iterator[Callable[..., Site]]:
    """Starts gunicorn on the test's database: `serve(processes=1, threads=8, env={})`."""
    sites: list[Site] = []

    def start(*, processes: int = 1, threads: int = 8, env: dict[str, str] | None = None) -> Site:
        environment = {**manage.environment, **(env or {})}
        sites.append(Site(environment, manage.directory, processes=processes, threads=threads))
        return sites[-1]

    yield start
    for site in sites:
        site.stop()
