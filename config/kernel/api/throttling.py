"""
How often somebody may ask: counters in Redis, in windows of fixed length.

Reading is not counted, so that an answer from the cache costs no further round trip. Without Redis everything is
allowed. Rates are texts, "600/60": at most 600 in 60 seconds; "" means any number.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from redis.exceptions import RedisError
from rest_framework.throttling import BaseThrottle

from config.kernel import caching
from config.kernel.caching import cache_key

if TYPE_CHECKING:  # rest_framework.views imports this module for its defaults
    from rest_framework.request import Request
    from rest_framework.views import APIView

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def parse_rate(text: str) -> tuple[int, int] | None:
    """
    A rate as (number, seconds); None: no limit.

    Raises:
        ValueError: it is no rate.
    """
    if not text:
        return None
    number, seconds = (int(part) for part in text.split("/"))
    if number < 1 or seconds < 1:
        raise ValueError(f"{text!r} is not a rate such as 600/60.")
    return number, seconds


def count(scope: str, who: str) -> float | None:
    """
    Count an attempt.

    Args:
        scope: a name in settings.THROTTLE_RATES.
        who: an address, a user's id, an e-mail.
    Returns:
        None: it is allowed; else the seconds until the next window.
    """
    rate = parse_rate(settings.THROTTLE_RATES.get(scope, ""))
    if rate is None or not caching.breaker.allows():
        return None
    number, seconds = rate
    window, elapsed = divmod(time.time(), seconds)
    key = cache_key(f"throttle-{scope}", f"{who}:{int(window)}")
    try:
        with caching.client().pipeline(transaction=False) as pipeline:
            pipeline.incr(key)
            pipeline.expire(key, seconds + 1)
            counted = int(pipeline.execute()[0])
    except (RedisError, OSError) as error:
        caching.breaker.trip(error)
        return None
    return seconds - elapsed if counted > number else None


def address_of(request: Any) -> str:
    """The address a request came from; behind proxies, what the outermost of ours has seen (NUM_PROXIES)."""
    return str(BaseThrottle().get_ident(request))


class WriteThrottle(BaseThrottle):
    """Changes by one user, generously; a program that runs wild is slowed, not a person or a nightly job."""

    scope = "writes"

    def __init__(self) -> None:
        self._wait: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        if request.method in READING or not request.user.is_authenticated:
            return True
        self._wait = count(self.scope, str(request.user.pk))
        return self._wait is None

    def wait(self) -> float | None:
        return self._wait
