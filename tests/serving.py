"""
Fixtures that run what Sluice runs in production – gunicorn and task workers – on the database of one test.

    def test_something(serve, http):
        site = serve(processes=2)          # gunicorn; site.url, site.kill_a_worker(), site.restart()
"""

import contextlib
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.conftest import CHECKOUT, Manage
from tests.preloaded import Forked, preloaded

START_SECONDS: Final = 60


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start_logged(arguments: list[str], environment: dict[str, str], path: Path) -> Forked:
    """Start a program of Python in the checkout; what it says is added to a file."""
    with path.open("ab") as log, Path(os.devnull).open("rb") as nothing:
        return preloaded.start(
            arguments, cwd=CHECKOUT, env=environment, stdin=nothing.fileno(), stdout=log.fileno(), stderr=log.fileno()
        )


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
        self.process: Forked | None = None
        self.start()

    def start(self) -> None:
        """Start gunicorn and wait until it answers."""
        program = ["-m", "gunicorn", "-c", str(CHECKOUT / "config/gunicorn.py"), "config.wsgi"]
        self.process = start_logged(program, self._environment, self.log)
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


class Workers:
    """
    Task workers: one `dramatiq config.worker` for each group of queues, as they run in production.

    `groups` are the arguments of each command: queues and threads.
    """

    GROUPS: Final = (("steps", 8), ("small", 1), ("large", 1))

    def __init__(self, environment: dict[str, str], directory: Path, *, large: int, sweep_seconds: int | None) -> None:
        self.environment = environment
        self._directory = directory
        self._commands = [self._command(queue, threads) for queue, threads in self.GROUPS]
        self._commands += [self._command("large", 1) for _ in range(large - 1)]
        if sweep_seconds is not None:
            sweeper = ["manage.py", "recover_imports", "--every", str(sweep_seconds)]
            self._commands.append(sweeper)
        self.processes = [self._start(command) for command in self._commands]

    def _command(self, queue: str, threads: int) -> list[str]:
        return [
            "-m", "dramatiq", "config.worker", "-p", "1", "-t", str(threads), "-Q", queue,
            "--worker-shutdown-timeout", "20000",
        ]  # fmt: skip

    def _start(self, command: list[str]) -> Forked:
        return start_logged(command, self.environment, self.log)

    @property
    def log(self) -> Path:
        """What all of them have said."""
        return self._directory / "workers.log"

    def kill(self, number: int) -> None:
        """SIGKILL one command with its worker process, and start it again, as a supervisor would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.processes[number].pid, signal.SIGKILL)
        self.processes[number].wait(10)
        self.processes[number] = self._start(self._commands[number])

    def pids(self, queue: str) -> list[int]:
        """Of the processes that do the work of a queue (not of the commands that watch them)."""
        found = []
        for process, command in zip(self.processes, self._commands, strict=True):
            if queue in command and process.poll() is None:
                found += [child.pid for child in psutil.Process(process.pid).children()]
        return found

    def stop(self, how: int = signal.SIGKILL, *, seconds: float = 30) -> None:
        """Send a signal to all of them (SIGKILL: to their worker processes too) and wait until they are gone."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                if how == signal.SIGKILL:
                    os.killpg(process.pid, how)
                else:
                    process.send_signal(how)
        until = time.monotonic() + seconds
        for process in self.processes:
            process.wait(max(0.1, until - time.monotonic()))


@pytest.fixture
def workers(manage: Manage) -> Iterator[Callable[..., Workers]]:
    """Starts task workers on the test's database: `workers(large=2, sweep_seconds=None, env={})`."""
    crews: list[Workers] = []

    def start(*, large: int = 1, sweep_seconds: int | None = None, env: dict[str, str] | None = None) -> Workers:
        environment = {**manage.environment, **(env or {})}
        crews.append(Workers(environment, manage.directory, large=large, sweep_seconds=sweep_seconds))
        return crews[-1]

    yield start
    for crew in crews:
        crew.stop()
