"""
Waiting in place for what does not work at the moment: nothing is skipped, and nothing is read meanwhile.

A broken server is not an event's fault, so it is waited for without end; what an event is to blame for (`DataError`,
`IntegrityError`) passes through at once.
"""

import threading
from collections.abc import Callable
from typing import Final, TypeVar

import structlog
from django.db import InterfaceError, InternalError, OperationalError, ProgrammingError, connection
from kafka.errors import KafkaError

from reports import metrics

log = structlog.get_logger(__name__)

FIRST_SECONDS: Final = 0.2
LONGEST_SECONDS: Final = 5.0
# Not answering, going down, full, read-only, waiting for a rebuild; and tables that a deploy has not made yet.
OF_POSTGRES: Final = (OperationalError, InterfaceError, InternalError, ProgrammingError)
Result = TypeVar("Result")


class Told(Exception):
    """To end, while something was waited for."""


class Patience:
    """
    Args:
        told: whether to end.
        meanwhile: called after each failure, about every `LONGEST_SECONDS`; it may fail in the same ways.
    """

    def __init__(self, told: threading.Event, meanwhile: Callable[[], None]) -> None:
        self._told = told
        self._meanwhile = meanwhile

    def until_done(self, work: Callable[[], Result]) -> Result:
        """
        Repeat work until it succeeds.

        Args:
            work: has no effect when it fails, or the same when it is repeated.
        Raises:
            Told: the process is to end.
        """
        seconds, failures = FIRST_SECONDS, 0
        while True:
            try:
                done = work()
                if failures:
                    log.info("consumer_goes_on", failures=failures)
                return done
            except (*OF_POSTGRES, KafkaError) as error:
                failures += 1
                self._tell(error, failures)
            if self._told.wait(seconds):
                raise Told
            self._stay()
            seconds = min(seconds * 2, LONGEST_SECONDS)

    def _tell(self, error: Exception, failures: int) -> None:
        what = "postgres" if isinstance(error, OF_POSTGRES) else "kafka"
        metrics.retries.labels(what).inc()
        if what == "postgres":
            connection.close()  # it may be half dead; the next one is new
        say = log.warning if failures == 1 else log.info
        say("consumer_waits", what=what, error=f"{type(error).__name__}: {error}".strip(), failures=failures)

    def _stay(self) -> None:
        try:
            self._meanwhile()
        except KafkaError as error:
            log.info("membership_in_doubt", error=f"{type(error).__name__}: {error}")
