"""Questions to other servers that may not answer: who asks waits so long and no longer."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from django.db import connections

Answer = TypeVar("Answer")


class NoAnswerError(Exception):
    """It did not answer in time."""


class Question(Generic[Answer]):
    """
    Asks in a thread of its own, of which there is at most one: a frozen Postgres blocks its clients for as long as it
    is frozen, whatever time-outs they have set, because those are judged by the server.

    Args:
        ask: the question; it may use Django's connections, which are closed afterwards.
        seconds: how long somebody waits for the answer.
        fresh_seconds: how long an answer serves others who ask.
    """

    def __init__(self, ask: Callable[[], Answer], *, seconds: float, fresh_seconds: float) -> None:
        self._ask, self._seconds, self._fresh_seconds = ask, seconds, fresh_seconds
        self._lock = threading.Lock()
        self._asked: threading.Thread | None = None
        self._answer: Answer | None = None
        self._error: Exception | None = None
        self._answered_at = -fresh_seconds

    def answer(self) -> Answer:
        """
        The answer, fresh enough.

        Raises:
            NoAnswerError: there was none in time.
            Exception: what the question raised.
        """
        with self._lock:
            if time.monotonic() - self._answered_at < self._fresh_seconds:
                return self._given()
            if self._asked is None or not self._asked.is_alive():
                self._asked = threading.Thread(target=self._run, name="question", daemon=True)
                self._asked.start()
            asked = self._asked
        asked.join(self._seconds)
        if asked.is_alive():
            raise NoAnswerError(f"no answer within {self._seconds:g} s")
        return self._given()

    def _given(self) -> Answer:
        if self._error is not None:
            raise self._error
        return cast(Answer, self._answer)  # there is one when there is no error

    def _run(self) -> None:
        try:
            self._answer, self._error = self._ask(), None
        except Exception as error:
            self._error = error
        finally:
            connections.close_all()
            self._answered_at = time.monotonic()
