"""
Starts Python programs without the second that importing Django, Polars and the rest takes each time.

A process that has imported them, and nothing of ours, forks for each program; the child gets the arguments, the
environment, the directory and the streams that a new process would have, a session of its own, and runs the program
from its first line. Hundreds of tests run commands and servers, so this halves the time of the whole.

Programs whose start is what a test is about, and those that are killed while they are young, are started afresh.
"""

import atexit
import contextlib
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

CHECKOUT: Final = Path(__file__).resolve().parent.parent
# Libraries only, and only such as need no settings, start no thread and read no variable when they are imported.
MODULES: Final = (
    "asyncio", "concurrent.futures.process", "http.client", "importlib.metadata", "logging.config", "multiprocessing",
    "django.conf", "django.contrib.admin.decorators", "django.contrib.auth.hashers",
    "django.contrib.auth.password_validation", "django.contrib.postgres.fields", "django.contrib.staticfiles.finders",
    "django.core.cache.backends.filebased", "django.core.checks", "django.core.handlers.wsgi",
    "django.core.mail", "django.core.management.commands.runserver", "django.core.serializers.json",
    "django.core.validators", "django.db.backends.postgresql.base", "django.db.migrations.executor",
    "django.db.models.functions", "django.forms", "django.template.loader", "django.test.signals", "django.urls",
    "django.views.generic", "dramatiq", "dramatiq.brokers.redis", "gunicorn.app.wsgiapp", "gunicorn.workers.gthread",
    "jsonschema", "kafka", "numpy", "polars", "psutil", "psycopg2.extras", "pyarrow.compute", "pyarrow.csv", "redis",
    "requests", "rest_framework.serializers", "rich.progress", "rich.table", "structlog", "tomllib", "uritemplate",
    "whitenoise.middleware", "yaml", "zstandard",
)  # fmt: skip
MESSAGE_BYTES: Final = 160 << 10


class Forked:
    """A program that runs; quacks like subprocess.Popen as far as tests ask."""

    def __init__(self, arguments: Sequence[str], status: IO[bytes]) -> None:
        self.args = arguments
        self.returncode: int | None = None
        self._status = status
        self.pid = int(status.readline())

    def poll(self) -> int | None:
        """The exit status (negative: of a signal), None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """
        Wait for its end.

        Args:
            timeout: seconds; None: as long as it takes.
        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0.0)
            self.returncode = int(self._status.readline() or -signal.SIGKILL)
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Preloaded:
    """The process that forks. It is started by the first program and ends with us."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wire: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: int, stdout: int, stderr: int
    ) -> Forked:
        """
        Start a program in a session of its own.

        Args:
            arguments: of Python: a script with its arguments, or "-m", a module, and its, or "-c", a text, and its.
            stdin, stdout, stderr: file descriptors, still the caller's to close.
        """
        message = json.dumps({"arguments": [*arguments], "cwd": str(cwd), "env": dict(env)}).encode()
        assert len(message) < MESSAGE_BYTES
        reading, writing = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._connected(), [message], [stdin, stdout, stderr, writing])
        finally:
            os.close(writing)
        return Forked(arguments, open(reading, "rb", buffering=0))

    def _connected(self) -> socket.socket:
        if self._wire is None:
            self._wire, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
                self._process = subprocess.Popen(
                    [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()], cwd=CHECKOUT,
                    env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
        return self._wire

    def stop(self) -> None:
        """End it; programs that it started go on."""
        if self._wire is not None and self._process is not None:
            self._wire.close()
            self._process.wait(10)
            self._wire = self._process = None


preloaded: Final = Preloaded()


def run(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float, input: str | None = None
) -> subprocess.CompletedProcess[str]:
    """
    Run a program to its end, as subprocess.run does with `capture_output` and `text`.

    Raises:
        subprocess.TimeoutExpired: after `timeout` seconds it was killed, with its children.
    """
    with contextlib.ExitStack() as stack:
        out, err, given = (stack.enter_context(tempfile.TemporaryFile(dir=cwd)) for _ in range(3))
        given.write((input or "").encode())
        given.flush()
        given.seek(0)
        process = preloaded.start(
            arguments, cwd=cwd, env=env, stdin=given.fileno(), stdout=out.fileno(), stderr=err.fileno()
        )
        try:
            process.wait(timeout)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        said = [_text(stream) for stream in (out, err)]
    return subprocess.CompletedProcess([sys.executable, *arguments], process.wait(), *said)


def _text(stream: IO[bytes]) -> str:
    # What is written through another descriptor of the same file moves our position, too.
    size = os.fstat(stream.fileno()).st_size
    text = os.pread(stream.fileno(), size, 0).decode()
    return text.replace("\r\n", "\n").replace("\r", "\n")


# The process that forks


def _serve(wire: socket.socket) -> dict[str, Any] | None:
    """Fork for each message. Returns in the child its message; in the parent None, when its caller is gone."""
    statuses: dict[int, int] = {}
    waking, awake = os.pipe()
    os.set_blocking(awake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(awake)
    while True:
        ready, _, _ = select.select([wire.fileno(), waking], [], [])
        if waking in ready:
            os.read(waking, 1024)
            _reap(statuses)
        if wire.fileno() not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(wire, MESSAGE_BYTES, 4)
        if not message:
            return None
        status = descriptors.pop()
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            for descriptor in (*descriptors, status, waking, awake, *statuses.values()):
                os.close(descriptor)
            wire.close()
            asked: dict[str, Any] = json.loads(message)
            return asked
        for descriptor in descriptors:
            os.close(descriptor)
        os.write(status, b"%d\n" % pid)
        statuses[pid] = status


def _reap(statuses: dict[int, int]) -> None:
    for pid in list(statuses):
        ended, code = os.waitpid(pid, os.WNOHANG)
        if ended:
            with contextlib.suppress(BrokenPipeError):
                os.write(statuses[pid], b"%d\n" % os.waitstatus_to_exitcode(code))
            os.close(statuses.pop(pid))


def _become(asked: dict[str, Any]) -> None:
    """Be what a new process with these arguments would be."""
    os.setsid()
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r", closefd=False)))
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(1, "w", closefd=False)), write_through=bool(os.environ.get("PYTHONUNBUFFERED"))
    )
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w", closefd=False)), errors="backslashreplace", line_buffering=True
    )


def _main() -> None:
    sys.path[0] = str(CHECKOUT)
    for name in MODULES:
        importlib.import_module(name)
    assert threading.active_count() == 1
    # Its import reads a variable that says where processes put their figures together.
    assert "prometheus_client" not in sys.modules
    # What is here stays: a child's garbage collector must not touch, and so copy, all of it.
    importlib.import_module("gc").freeze()
    asked = _serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is None:
        return
    _become(asked)
    status = _run(asked["arguments"], cwd=asked["cwd"])
    # What Python does at its end, but for taking everything apart: that would copy all that the parent has imported.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _run(arguments: list[str], *, cwd: str) -> int:
    """Run the program; returns its exit status."""
    try:
        if arguments[0] == "-c":
            sys.argv = ["-c", *arguments[2:]]
            sys.path[0] = cwd
            exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
        elif arguments[0] == "-m":
            sys.argv = arguments[1:]
            sys.path[0] = cwd
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            sys.path[0] = str(Path(arguments[0]).resolve().parent)
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        sys.stderr.write(f"{end.code}\n")
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _main()
