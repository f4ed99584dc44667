"""One server that the supervisor owns: started, adopted from a killed supervisor, restarted, stopped."""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

import psutil

from config.embedded.errors import EmbeddedError
from config.embedded.place import Place

POLL_SECONDS = 0.02
LOG_BYTES = 32 << 20
START_ATTEMPTS = 5


class Service(ABC):
    """
    A server whose working directory marks its processes: whoever has the program's name and stands in `directory`
    is ours, also after the supervisor that started it was killed. No pid file can then be stale or missing.
    """

    name: str
    program_name: str
    stop_signal = signal.SIGTERM
    start_seconds = 20.0
    stop_seconds = 10.0

    def __init__(self, place: Place) -> None:
        self.place = place
        self.directory = place.state / self.name
        self.wanted = False
        self._child: subprocess.Popen[bytes] | None = None
        self._adopted: psutil.Process | None = None
        self._answered = False

    @abstractmethod
    def url(self) -> str:
        """What a client connects to."""

    @abstractmethod
    def command(self) -> list[str]:
        """The server's command line; it must stay in the foreground."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether the server answers."""

    def prepare(self) -> None:
        """Make what the server needs before it can start."""
        if not self.directory.exists():
            self.directory.mkdir(mode=0o700)
            if self.place.account:
                os.chown(self.directory, self.place.account.uid, self.place.account.gid)

    def main_process(self, found: list[psutil.Process]) -> psutil.Process | None:
        """Which of the processes that stand in `directory` is the server to adopt; None when it is dead."""
        return found[0] if found else None

    def find(self) -> psutil.Process | None:
        """The server, if one runs, whoever started it."""
        return self.main_process(self._processes())

    def alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return self._adopted is not None and _runs(self._adopted)

    @property
    def pid(self) -> int | None:
        """Of the server's main process; None when it does not run."""
        process = self._child or self._adopted
        return process.pid if process is not None and self.alive() else None

    def ensure(self, *, doubted: bool = False) -> None:
        """
        Return when the server answers; start or adopt it when needed.

        Args:
            doubted: ask the server even though it lives and has answered before.
        Raises:
            EmbeddedError: it does not start.
        """
        self.wanted = True
        for attempt in range(START_ATTEMPTS):
            if not self.alive():
                self._answered = False
                self._adopt_or_start()
            if self._answered and not doubted:
                return
            if self._wait_until_ready(again=attempt + 1 < START_ATTEMPTS):
                self._answered = True
                return

    def stop(self) -> None:
        """Stop the server, also one that a killed supervisor left behind; does nothing when none runs."""
        self.wanted = False
        if not self.alive():
            self._adopted = self.find()
        if self.alive():
            self._signal(self.stop_signal)
            self._wait_until_dead(self.stop_seconds)
        self._kill_leftovers()
        self._child = self._adopted = None

    def _adopt_or_start(self) -> None:
        self._child = None
        self._adopted = self.find()
        if self._adopted is not None:
            return
        self._kill_leftovers()
        self.prepare()
        self._child = self._spawn(self.command())

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        account = self.place.account
        self._rotate_log()
        with self.log_path().open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                env=server_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                umask=0o077,
            )

    def _rotate_log(self) -> None:
        path = self.log_path()
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))

    def log_path(self) -> Path:
        return self.place.logs / f"{self.name}.log"

    def _wait_until_ready(self, *, again: bool) -> bool:
        """Whether it answers now; False when it was killed meanwhile and may be started again."""
        deadline = time.monotonic() + self.start_seconds
        while not self.ready():
            if not self.alive():
                if again and self._was_killed():
                    return False
                raise EmbeddedError(f"{self.name} stopped while starting; see {self.log_path()}\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{self.name} does not answer for {self.start_seconds:.0f} s; see {self.log_path()}"
                )
            time.sleep(POLL_SECONDS)
        return True

    def _was_killed(self) -> bool:
        """By somebody outside; a server that gives up by itself exits with a status."""
        return self._child is None or self._child.returncode == -signal.SIGKILL

    def _log_tail(self) -> str:
        try:
            return "\n".join(self.log_path().read_text(errors="replace").splitlines()[-5:])
        except OSError:
            return ""

    def _processes(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.name() == self.program_name and Path(process.cwd()) == self.directory and _runs(process)
        except psutil.Error:
            return False

    def _kill_leftovers(self) -> None:
        """Kill what survives its main process, e.g. a Postgres backend that is busy in a COPY."""
        left = self._processes()
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=10)

    def _signal(self, number: signal.Signals) -> None:
        try:
            if self._child is not None:
                self._child.send_signal(number)
            elif self._adopted is not None:
                self._adopted.send_signal(number)
        except (psutil.NoSuchProcess, ProcessLookupError):
            pass

    def _wait_until_dead(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.alive() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def server_environment() -> dict[str, str]:
    """A server inherits nothing of its first client's environment (PG…, LC_…, secrets)."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
