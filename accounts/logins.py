"""Guessing passwords is slow: attempts are counted by address and by e-mail, in the API and in the admin alike."""

from typing import Any, Final

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from config.kernel.api.throttling import address_of, count

COUNTED: Final = "_login_attempt_counted"


def count_attempt(request: HttpRequest, *, email: str) -> float | None:
    """
    Count an attempt to sign in, once a request.

    Returns:
        None: go on; else the seconds to wait.
    """
    if not hasattr(request, COUNTED):
        waits = (count("logins-address", address_of(request)), count("logins-email", email.strip().lower()[:254]))
        setattr(request, COUNTED, max((wait for wait in waits if wait is not None), default=None))
    counted: float | None = getattr(request, COUNTED)
    return counted


class LoginThrottle(BaseThrottle):
    """For the view where people sign in."""

    def __init__(self) -> None:
        self._wait: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        if request.method != "POST":
            return True
        data: Any = request.data
        email = data.get("email") if isinstance(data, dict) else None
        self._wait = count_attempt(request._request, email=email if isinstance(email, str) else "")
        return self._wait is None

    def wait(self) -> float | None:
        return self._wait
