"""
Where the processes of one pod, or of one `make up`, put their metrics, so that any of them can show those of all.

prometheus_client decides at its first import whether it counts in memory or in this directory; `prepare` comes before.
Counters of dead processes stay and go on counting for the whole; what a former start left behind is removed.
"""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
PREFIX: Final = "sluice-metrics-"
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - counters must not wait for a disk
OF_A_PROCESS: Final = re.compile(r"_(\d+)\.db$")


class MetricsDirectory:
    """The directory that PROMETHEUS_MULTIPROC_DIR names; without it one of this process tree's own is made."""

    def prepare(self) -> Path:
        """Make the directory and export the variable to this process and its children."""
        named = os.environ.get(VARIABLE)
        if named:
            Path(named).mkdir(parents=True, exist_ok=True)
            return Path(named)
        self._remove_abandoned()
        made = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=_parent())
        os.environ[VARIABLE] = made
        return Path(made)

    def forget_dead(self) -> None:
        """Remove what processes left that no longer live; those that share the directory and live are kept."""
        for path in self._files():
            found = OF_A_PROCESS.search(path.name)
            if found and not _lives(int(found[1])):
                path.unlink(missing_ok=True)

    def mark_dead(self, pid: int) -> None:
        """A process has ended: what it counted stays, what it had in hand does not."""
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def remove(self) -> None:
        """Remove the directory if `prepare` has made it in this process."""
        named = Path(os.environ.get(VARIABLE, ""))
        if named.name.startswith(f"{PREFIX}{os.getpid()}-"):
            shutil.rmtree(named, ignore_errors=True)

    def _files(self) -> Iterator[Path]:
        return Path(os.environ[VARIABLE]).glob("*.db")

    def _remove_abandoned(self) -> None:
        for path in _parent().glob(f"{PREFIX}*"):
            pid = path.name.removeprefix(PREFIX).partition("-")[0]
            with contextlib.suppress(OSError):
                if pid.isdigit() and not _lives(int(pid)) and path.stat().st_uid == os.getuid():
                    shutil.rmtree(path, ignore_errors=True)


metrics_directory: Final = MetricsDirectory()


def _parent() -> Path:
    return SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else Path(tempfile.gettempdir())


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
