"""What a command does to have a service: hold the lease, ask the supervisor, start one when there is none."""

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

from config.embedded.errors import EmbeddedError
from config.embedded.place import CHECKOUT, Place, home_directory, place_open

# Crash recovery and a first initdb on a slow disk; the supervisor itself gives up before.
ANSWER_SECONDS = 660.0

# Held open for the life of the process. A forked child inherits the lock, which is right: it uses the services too.
_leases: dict[str, int] = {}


def service_url(name: str, *, doubted: bool = False) -> str:
    """
    Return where a local service listens, started if need be; this process keeps it alive from now on.

    Args:
        name: postgres, redis or kafka.
        doubted: a connection has just failed: wait until the service answers.
    Raises:
        EmbeddedError: it cannot be started.
    """
    place = place_open(home_directory())
    _hold_lease(place)
    answer = _ask_or_start(place, f"{name} doubted" if doubted else name)
    if "error" in answer:
        raise EmbeddedError(str(answer["error"]))
    return str(answer["url"])


def ask(place: Place, request: str) -> dict[str, Any] | None:
    """One question to the supervisor; None when there is none."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(str(place.control))
            connection.sendall(request.encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except (FileNotFoundError, ConnectionError, BrokenPipeError):
        return None
    except BlockingIOError:  # more clients at once than its queue holds
        time.sleep(0.05)
        return ask(place, request)
    except (PermissionError, TimeoutError) as error:
        raise EmbeddedError(f"the local services' supervisor ({place.control}) cannot be asked: {error}") from error
    return json.loads(answer) if answer else None


def _hold_lease(place: Place) -> None:
    key = str(place.lease)
    held = _leases.get(key)
    if held is not None and _is_file(held, key):
        return
    # Waits for a supervisor that is just stopping for want of clients.
    lease = os.open(place.lease, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(lease, fcntl.LOCK_SH)
    _leases[key] = lease


def _is_file(held: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(held), os.stat(path))
    except FileNotFoundError:
        return False


def _ask_or_start(place: Place, request: str) -> dict[str, Any]:
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        answer = ask(place, request)
        if answer is not None:
            return answer
        with (place.home / "start.lock").open("a+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if ask(place, "status") is None:
                _start_supervisor(place)
    raise EmbeddedError(f"the local services' supervisor does not answer; see {place.logs / 'supervisor.log'}")


def _start_supervisor(place: Place) -> None:
    place.logs.mkdir(exist_ok=True)
    log_path = place.logs / "supervisor.log"
    with log_path.open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-m", "config.embedded", "supervise"],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "SLUICE_LOCAL_DIR": str(place.home)},
            check=False,
        )
    if done.returncode != 0:
        tail = "\n".join(log_path.read_text(errors="replace").splitlines()[-5:])
        raise EmbeddedError(f"the local services' supervisor does not start; see {log_path}\n{tail}")
