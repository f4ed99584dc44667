"""Run a command, and watch how much memory it and its children take."""

import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import psutil

SAMPLE_SECONDS: Final = 0.2
KIB: Final = 1024


class CommandFailedError(Exception):
    """A measured command ended with another status than was allowed."""

    def __init__(self, command: Sequence[str], status: int, said: str) -> None:
        super().__init__(f"{' '.join(command)} ended with status {status}:\n{said[-4000:]}")


@dataclass
class MemoryWatch:
    """
    The memory of a process and all its descendants.

    Args:
        peaks: by process id, the highest resident size so far in bytes (VmHWM; with shared pages, so an upper bound).
        series: by process id, (Unix time, resident bytes at that moment).
    """

    peaks: dict[int, int] = field(default_factory=dict)
    series: dict[int, list[tuple[float, int]]] = field(default_factory=dict)

    @property
    def heaviest(self) -> int:
        """The peak of the process that took most, in bytes."""
        return max(self.peaks.values(), default=0)

    def highest_between(self, start: float, stop: float) -> int:
        """The most that one process had at a moment in [start, stop), in bytes; times are Unix times."""
        sizes = (size for series in self.series.values() for at, size in series if start <= at < stop)
        return max(sizes, default=0)

    def sample(self, process: psutil.Process) -> None:
        """Look at the process and its descendants once."""
        at = time.time()
        for one in _family(process):
            peak, now = _resident(one.pid)
            if peak:
                self.peaks[one.pid] = max(peak, self.peaks.get(one.pid, 0))
                self.series.setdefault(one.pid, []).append((at, now))


@dataclass(frozen=True)
class Finished:
    """A command that has ended; `seconds` is wall-clock time."""

    stdout: str
    seconds: float
    memory: MemoryWatch
    status: int


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    stdin: IO[bytes] | None = None,
    allowed: Sequence[int] = (0,),
    show_stderr: bool = False,
) -> Finished:
    """
    Run a command to its end.

    Args:
        allowed: exit statuses that count as success.
        show_stderr: let it write to our standard error, instead of keeping that for a message of failure.
    Raises:
        CommandFailedError: it ended with another status.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=dict(environment),
        stdin=stdin if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if show_stderr else subprocess.PIPE,
        text=True,
    )
    with _watching(process.pid) as memory:
        stdout, stderr = process.communicate()
        seconds = time.perf_counter() - started
    if process.returncode not in allowed:
        raise CommandFailedError(command, process.returncode, (stderr or "") + stdout)
    return Finished(stdout, seconds, memory, process.returncode)


@contextmanager
def _watching(pid: int) -> Iterator[MemoryWatch]:
    watch = MemoryWatch()
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(watch, pid, over), daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def _watch(watch: MemoryWatch, pid: int, over: threading.Event) -> None:
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    while not over.wait(SAMPLE_SECONDS):
        watch.sample(process)


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _resident(pid: int) -> tuple[int, int]:
    """Peak and present resident bytes; zeros when the process has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0, 0
    sizes = dict(re.findall(r"^(VmHWM|VmRSS):\s+(\d+) kB$", status, re.MULTILINE))
    return int(sizes.get("VmHWM", 0)) * KIB, int(sizes.get("VmRSS", 0)) * KIB
