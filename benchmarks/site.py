"""The product as it runs: gunicorn and task workers, on one database."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
import redis
from django.conf import settings

from benchmarks.databases import CHECKOUT, Database
from benchmarks.wire import Wire
from config.broker import TASKS_DATABASE
from config.embedded import redis_url

START_SECONDS: Final = 60
STOP_SECONDS: Final = 30
TOKEN_SCRIPT: Final = """
from datetime import datetime, UTC
from accounts.models import User
from accounts.services import token_create
user = User.objects.create_superuser("bench", email="bench@example.com", name="Benchmark")
print(token_create(user=user, ttl=None, now=datetime.now(UTC))[1])
"""


class SiteNotStartedError(Exception):
    """gunicorn or a worker has ended; the text has its log."""


@dataclass
class Site:
    """
    Args:
        environment: of all processes.
        port: of 127.0.0.1.
        token: of a superuser.
        directory: for uploads and logs.
    """

    environment: dict[str, str]
    port: int
    token: str
    directory: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def wire(self) -> Wire:
        """A new connection."""
        return Wire(self.port, self.token)

    def web_process(self) -> psutil.Process:
        """The only web process below gunicorn."""
        (child,) = psutil.Process(self.processes[0].pid).children()
        return child

    def start(self, name: str, *arguments: str) -> None:
        """Start a Python program beside the others."""
        with (self.directory / f"{name}.log").open("ab") as log:
            command = [sys.executable, *arguments]
            started = subprocess.Popen(
                command, cwd=CHECKOUT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(started)

    def wait_until_ready(self) -> None:
        """Until gunicorn serves."""
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                wire = Wire(self.port)
                status, _, _ = wire.exchange(wire.head("GET", "/readyz"))
                wire.close()
                if status == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > until or self.processes[0].poll() is not None:
                raise SiteNotStartedError((self.directory / "web.log").read_text()[-4_000:])
            time.sleep(0.1)

    def stop(self) -> None:
        """End all, in good order if they can."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def running_site(database: Database, directory: Path, *, workers: int = 0, **environment: str) -> Iterator[Site]:
    """
    A site with one web process, and task workers if wanted.

    Args:
        workers: processes for chunks; one more does the steps.
        environment: variables to add.
    """
    directory.mkdir(parents=True, exist_ok=True)
    everyone = {
        **database.environment,
        "CACHE_KEY_PREFIX": database.name,
        "TASKS_NAMESPACE": database.name,
        "MEDIA_ROOT": str(directory / "media"),
        "WEB_PROCESSES": "1",
        "THROTTLE_WRITES": "1000000/1",
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", TOKEN_SCRIPT],
        cwd=CHECKOUT, env={**everyone, "DJANGO_SETTINGS_MODULE": "config.settings"}, check=True, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    port = _free_port()
    site = Site({**everyone, "BIND": f"127.0.0.1:{port}"}, port, done.stdout.strip().splitlines()[-1], directory)
    try:
        site.start("web", "-m", "gunicorn", "-c", "config/gunicorn.py", "config.wsgi")
        if workers:
            dramatiq = ("-m", "dramatiq", "config.worker", "--worker-shutdown-timeout", "20000")
            site.start("steps", *dramatiq, "-p", "1", "-t", "8", "-Q", "steps")
            site.start("chunks", *dramatiq, "-p", str(workers), "-t", "1", "-Q", "small", "large")
            _wait_for_workers(database.name, workers + 1, directory)
        site.wait_until_ready()
        yield site
    finally:
        site.stop()


def _wait_for_workers(namespace: str, count: int, directory: Path) -> None:
    """Until all worker processes have told Redis that they live."""
    url = settings.TASKS_REDIS_URL or f"{redis_url()}?db={TASKS_DATABASE}"
    until = time.monotonic() + START_SECONDS
    with redis.Redis.from_url(url) as client:
        while client.zcard(f"{namespace}:__heartbeats__") < count:
            if time.monotonic() > until:
                raise SiteNotStartedError("".join(log.read_text()[-2_000:] for log in directory.glob("*.log")))
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
