"""
The process that owns the local servers.

It is detached from the command that needed it first, restarts what dies, and stops everything when nobody has held
the lease for a while. Everything about it may be killed at any moment: whoever needs a service next starts a new
supervisor, which adopts the servers that are still running.
"""

import fcntl
import json
import logging
import os
import selectors
import signal
import socket
import time
from types import FrameType
from typing import IO

from config.embedded.errors import EmbeddedError
from config.embedded.kafka import Kafka
from config.embedded.place import Place, place_prepare, place_remove, places_abandoned
from config.embedded.postgres import Postgres
from config.embedded.service import Service
from config.embedded.valkey import Valkey

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
GRACE_SECONDS = 20.0
# A server that keeps dying is restarted no more often than this, unless someone asks for it.
RESTART_SECONDS = 3.0


class Supervisor:
    """
    Args:
        grace_seconds: how long nobody must have held the lease before the servers are stopped.
    """

    def __init__(self, place: Place, *, grace_seconds: float = GRACE_SECONDS) -> None:
        self.place = place
        self.grace_seconds = grace_seconds
        self.services: dict[str, Service] = {
            service.name: service for service in (Postgres(place), Valkey(place), Kafka(place))
        }
        self._stopping = False
        self._last_needed = time.monotonic()
        self._restarted_at: dict[str, float] = {}

    def run(self, ready: IO[bytes]) -> None:
        """Serve until idle, told to stop, or deprived of `.local`. Writes to `ready` once clients can connect."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        lease = self.place.lease.open("a+b")
        with self._listen() as listener, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            ready.write(b"ready")
            ready.close()
            self._adopt()
            while not self._done(lease):
                for _ in selector.select(TICK_SECONDS):
                    self._serve(listener)
                self._restart_dead()
            self._shut_down()

    def adopt_and_stop(self) -> None:
        """Stop servers that a killed supervisor left behind."""
        self._shut_down()

    def _adopt(self) -> None:
        """Take over what a killed supervisor left running."""
        for service in self.services.values():
            if service.find() is not None:
                self._ensure(service)

    def _listen(self) -> socket.socket:
        self.place.control.unlink(missing_ok=True)  # of a killed supervisor: this one holds the lock
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.place.control))
        self.place.control.chmod(0o600)
        listener.listen(128)
        listener.setblocking(False)
        return listener

    def _serve(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        with connection:
            connection.settimeout(2)
            try:
                connection.sendall(json.dumps(self._answer(connection.recv(64).decode())).encode())
            except OSError:
                logger.info("client_gone")

    def _answer(self, request: str) -> dict[str, object]:
        self._last_needed = time.monotonic()
        if request == "status":
            return {"pid": os.getpid(), "services": {name: service.pid for name, service in self.services.items()}}
        name, _, doubt = request.partition(" ")
        service = self.services.get(name)
        if service is None:
            return {"error": f"unknown service {request!r}"}
        error = self._ensure(service, doubted=bool(doubt))
        return {"error": error} if error else {"url": service.url()}

    def _ensure(self, service: Service, *, doubted: bool = False) -> str:
        """What went wrong, or nothing."""
        try:
            service.ensure(doubted=doubted)
        except EmbeddedError as error:
            logger.exception("service_failed")
            return str(error)
        except Exception as error:  # whatever it is: the other services go on, and the client is told
            logger.exception("service_failed")
            return f"{service.name} cannot be started: {error!r}; see {self.place.logs}"
        return ""

    def _restart_dead(self) -> None:
        for service in self.services.values():
            if not service.wanted or service.alive() or self._was_restarted(service):
                continue
            logger.warning("service_died", extra={"service": service.name})
            self._restarted_at[service.name] = time.monotonic()
            self._ensure(service)

    def _was_restarted(self, service: Service) -> bool:
        return time.monotonic() - self._restarted_at.get(service.name, -RESTART_SECONDS) < RESTART_SECONDS

    def _done(self, lease: IO[bytes]) -> bool:
        if self._stopping or not self.place.is_current() or not self.place.control.exists():
            return True  # without its socket (cleaners of /tmp) nobody can reach it, and its successor waits
        if time.monotonic() - self._last_needed < TICK_SECONDS:
            return False
        try:
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._last_needed = time.monotonic()
            return False
        if time.monotonic() - self._last_needed >= self.grace_seconds:
            return True  # the lease stays locked until this process has ended: a client that comes now waits for that
        fcntl.flock(lease, fcntl.LOCK_UN)
        return False

    def _shut_down(self) -> None:
        for service in reversed(self.services.values()):
            service.stop()
        self.place.control.unlink(missing_ok=True)
        if not self.place.is_current():  # `.local` was deleted, and what the instance keeps elsewhere goes with it
            place_remove(self.place)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True


def prepare(place: Place) -> None:
    """Make the directories and clear away abandoned instances; the caller holds the supervisor's lock."""
    for abandoned in places_abandoned() if place.account else []:
        logger.info("instance_abandoned", extra={"instance": abandoned.instance})
        Supervisor(abandoned).adopt_and_stop()
    place_prepare(place)
