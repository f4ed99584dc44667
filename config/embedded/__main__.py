"""
`python -m config.embedded status | url [SERVICE] | stop | destroy` – the last one removes the data, too.

`supervise` is what clients start.
"""

import argparse
import fcntl
import logging
import os
import signal
import sys
import time

from config.embedded.client import ask, service_url
from config.embedded.errors import EmbeddedError
from config.embedded.place import Place, home_directory, place_open, place_remove
from config.embedded.postgres import forget_postgres_environment
from config.embedded.supervisor import GRACE_SECONDS, Supervisor, prepare

STOP_SECONDS = 330.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m config.embedded", description=__doc__)
    parser.add_argument("command", choices=["status", "url", "stop", "destroy", "supervise"])
    parser.add_argument("service", nargs="?", default="postgres", choices=["postgres", "redis", "kafka"])
    arguments = parser.parse_args()
    try:
        if arguments.command == "url":
            print(service_url(arguments.service))
            return 0
        place = place_open(home_directory())
        return {"status": _status, "stop": _stop, "destroy": _destroy, "supervise": _supervise}[arguments.command](
            place
        )
    except EmbeddedError as error:
        print(error, file=sys.stderr)
        return 1


def _status(place: Place) -> int:
    answer = ask(place, "status")
    if answer is None:
        print("not running")
        return 3
    print(f"supervisor: pid {answer['pid']}")
    for name, pid in answer["services"].items():
        print(f"{name}: pid {pid}" if pid else f"{name}: not running")
    return 0


def _stop(place: Place) -> int:
    answer = ask(place, "status")
    if answer is not None:
        os.kill(answer["pid"], signal.SIGTERM)
    with (place.home / "supervisor.lock").open("a+b") as lock:
        deadline = time.monotonic() + STOP_SECONDS
        while not _try_lock(lock):
            if time.monotonic() > deadline:
                raise EmbeddedError(f"the supervisor does not stop; see {place.logs}")
            time.sleep(0.05)
        Supervisor(place).adopt_and_stop()
    return 0


def _destroy(place: Place) -> int:
    _stop(place)
    place_remove(place)
    return 0


def _supervise(place: Place) -> int:
    """Fork; the parent returns when the child can be asked, or has given up."""
    reading, writing = os.pipe()
    if os.fork() > 0:
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            return 0 if pipe.read() == b"ready" else 1
    os.close(reading)
    os.setsid()
    os.umask(0o022)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    forget_postgres_environment()
    lock = (place.home / "supervisor.lock").open("a+b")
    if not _wait_for_lock(lock):
        raise EmbeddedError("another supervisor is running and does not answer")
    prepare(place)
    grace = float(os.environ.get("SLUICE_EMBEDDED_GRACE_SECONDS") or GRACE_SECONDS)
    Supervisor(place, grace_seconds=grace).run(os.fdopen(writing, "wb"))
    return 0


def _wait_for_lock(lock: object) -> bool:
    """The last supervisor may be on its way out."""
    deadline = time.monotonic() + STOP_SECONDS
    while not _try_lock(lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _try_lock(lock: object) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type]
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
