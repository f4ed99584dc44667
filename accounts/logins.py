"""Guessing passwords is slow: attempts are counted by address and by e-mail, in the API and in the admin alike."""

from collections.abc import Callable
from typing import Any, Final

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from config.kernel.api.parsing import StrictJSONParser
from config.kernel.api.throttling import address_of, count

ADDRESS_WAIT: Final = "_login_address_wait"
EMAIL_WAIT: Final = "_login_email_wait"


def count_address(request: HttpRequest) -> float | None:
    """
    Count an attempt to sign in from an address, once a request; needs nothing of the body.

    Returns:
        None: go on; else the seconds to wait.
    """
    return _once(request, ADDRESS_WAIT, lambda: count("logins-address", address_of(request)))


def count_attempt(request: HttpRequest, *, email: str) -> float | None:
    """
    Count an attempt to sign in by address and e-mail, each once a request.

    Returns:
        None: go on; else the seconds to wait.
    """
    who = email.strip().lower()[:254]
    waits = (count_address(request), _once(request, EMAIL_WAIT, lambda: count("logins-email", who)))
    return max((wait for wait in waits if wait is not None), default=None)


def _once(request: HttpRequest, name: str, ask: Callable[[], float | None]) -> float | None:
    if not hasattr(request, name):
        setattr(request, name, ask())
    answer: float | None = getattr(request, name)
    return answer


class LoginParser(StrictJSONParser):
    """Anybody may send a body here, and an e-mail and a password are short."""

    max_bytes = 16 << 10


class LoginThrottle(BaseThrottle):
    """For the view where people sign in."""

    def __init__(self) -> None:
        self._wait: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        if request.method != "POST":
            return True
        self._wait = count_address(request._request)
        if self._wait is not None:
            return False  # before the body is parsed, which costs more than to refuse it
        data: Any = request.data
        email = data.get("email") if isinstance(data, dict) else None
        self._wait = count_attempt(request._request, email=email if isinstance(email, str) else "")
        return self._wait is None

    def wait(self) -> float | None:
        return self._wait
