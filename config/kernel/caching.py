"""
Rows by id in Redis, never stale after a commit, and never needed.

An entry is absent, a value, or a *doubt*. Whoever changes a row calls `mark_changed` as the last thing in its
transaction: that replaces the entries by doubts **before** the commit, so nobody can read the old value after it.
Readers who meet a doubt go to Postgres and store nothing. After the commit the doubt stays for `DOUBT_AFTER_MS`, longer
than a reader may take from its query to storing what it found (`FILL_WITHIN_SECONDS`); so a value read before the
commit cannot be stored after it. A writer that dies leaves a doubt that ends by itself.

If Redis does not take a doubt, the key is written to `CacheDebt` in the same transaction. A process uses the cache
again after a failure only when it has settled such debts, and entries live for `ENTRY_SECONDS` only, so that even a
Redis which some processes reach and others do not cannot serve an old value for longer.

A circuit breaker per process keeps a dead or frozen Redis from costing more than one time-out in `BREAK_SECONDS`. The
doubt is the lease of Nishtala et al., Scaling Memcache at Facebook (NSDI 2013), turned round: the writer holds it.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from redis.exceptions import ConnectionError as RedisConnectionError, RedisError

from config.kernel.models import CacheDebt

log = structlog.get_logger(__name__)

DOUBT: Final = b"?"
VALUE: Final = b"="
ENTRY_SECONDS: Final = 60
DOUBT_BEFORE_MS: Final = 60_000
DOUBT_AFTER_MS: Final = 2_000
FILL_WITHIN_SECONDS: Final = 1.0
BREAK_SECONDS: Final = 5.0
LOAD_LOCK_MS: Final = 1_000
LOAD_WAIT_SECONDS: Final = 0.05
LOAD_POLL_SECONDS: Final = 0.005
MARKED_AT_ONCE: Final = 1_000


class Breaker:
    """Whether Redis is worth asking: closed (yes), or open for some seconds after a failure."""

    def __init__(self) -> None:
        self._open_until = 0.0
        self._doubtful = True  # a new process does not know what others could not tell
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether to ask Redis now; the first question after a failure settles debts before."""
        if not self._doubtful:
            return True
        if time.monotonic() < self._open_until or not self._lock.acquire(blocking=False):
            return False
        try:
            # Others stay on Postgres while one tries.
            self._open_until = time.monotonic() + BREAK_SECONDS
            settle_debts()
            self._doubtful = False
        except (RedisError, OSError):
            return False
        finally:
            self._lock.release()
        return True

    def trip(self, error: Exception) -> None:
        """Redis failed."""
        if not self._doubtful:
            log.warning("cache_unavailable", error=str(error), seconds=BREAK_SECONDS)
        self._open_until = time.monotonic() + BREAK_SECONDS
        self._doubtful = True


breaker = Breaker()


def client() -> Any:
    """The redis-py client of the cache; its time-outs are those of settings."""
    return cache.client.get_client(write=True)  # type: ignore[attr-defined]


class OwnConnection(threading.local):
    """
    A connection of this thread for reading entries. redis-py's pool and client cost three times what the round trip
    itself does, and this is the hot path; packing and parsing are done in C by hiredis.
    """

    def __init__(self) -> None:
        self._made_for: tuple[Any, int] | None = None
        self._connection: Any = None

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """MGET; raises RedisError or OSError."""
        try:
            return self._exchange(keys)
        except RedisConnectionError:
            return self._exchange(keys)  # the server has closed it while it was idle, or is new

    def _exchange(self, keys: Sequence[str]) -> list[bytes | None]:
        if self._made_for != (client, os.getpid()):
            self._made_for, self._connection = (client, os.getpid()), client().connection_pool.make_connection()
        try:
            self._connection.send_command("MGET", *keys, check_health=False)
            return list(self._connection.read_response(disable_decoding=True))
        except BaseException:
            self._connection.disconnect()  # what is left of this answer must not become the next one
            raise


own_connection = OwnConnection()


def cache_key(kind: str, key: str) -> str:
    """Where the entry of a row is kept: "order", "o553" → "sluice:order:o553"."""
    return f"{settings.CACHE_KEY_PREFIX}:{kind}:{key}"


def read_many(keys: Sequence[str]) -> list[bytes | None]:
    """
    Entries as stored (VALUE + bytes, DOUBT or None), in one round trip; all None when Redis is away.

    Args:
        keys: made by `cache_key`.
    """
    if not breaker.allows():
        return [None] * len(keys)
    try:
        return own_connection.mget(keys)
    except (RedisError, OSError) as error:
        breaker.trip(error)
        return [None] * len(keys)


def cached(kind: str, key: str, load: Callable[[], bytes | None]) -> bytes | None:
    """
    The stored form of one row, from the cache or from `load`.

    Of many readers who miss the same entry at once, one loads; the others wait for it up to 50 ms, then load too.

    Args:
        load: reads from Postgres; None: there is no such row, which is never stored.
    """
    entry_key = cache_key(kind, key)
    (entry,) = read_many([entry_key])
    if entry is not None and entry.startswith(VALUE):
        return entry[1:]
    return fill(entry_key, entry, load)


def fill(entry_key: str, entry: bytes | None, load: Callable[[], bytes | None]) -> bytes | None:
    """
    Load what `read_many` did not find, and store it if nobody changes it meanwhile.

    Args:
        entry: what `read_many` gave for the key: None or DOUBT.
    """
    # In a transaction we may see what nobody else may see yet.
    if entry is not None or connection.in_atomic_block or not breaker.allows():
        return load()
    found = _await_other_loader(entry_key)
    if found is not None:
        return found
    started = time.monotonic()
    value = load()
    if value is not None and time.monotonic() - started < FILL_WITHIN_SECONDS:
        _quietly(lambda: client().set(entry_key, VALUE + value, ex=ENTRY_SECONDS, nx=True))
    _quietly(lambda: client().delete(f"{entry_key}:loading"))
    return value


def _await_other_loader(entry_key: str) -> bytes | None:
    until = time.monotonic() + LOAD_WAIT_SECONDS
    try:
        while not client().set(f"{entry_key}:loading", b"1", px=LOAD_LOCK_MS, nx=True):
            time.sleep(LOAD_POLL_SECONDS)
            entry = client().get(entry_key)
            if entry is not None and entry.startswith(VALUE):
                return bytes(entry[1:])
            if entry is not None or time.monotonic() > until:
                return None
    except (RedisError, OSError) as error:
        breaker.trip(error)
    return None


def mark_changed(kind: str, keys: Iterable[str]) -> None:
    """
    Say that rows are about to change: the last thing to do inside their transaction.

    Outside a transaction it is an error, because then there is nothing to be told before.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("mark_changed belongs inside the transaction of the change")
    marked = [cache_key(kind, key) for key in keys]
    for start in range(0, len(marked), MARKED_AT_ONCE):
        _mark(marked[start : start + MARKED_AT_ONCE])


def _mark(keys: list[str]) -> None:
    if breaker.allows() and _quietly(lambda: _put_doubts(keys, DOUBT_BEFORE_MS)):
        transaction.on_commit(lambda: _shorten(keys), robust=True)
        return
    now = datetime.now(UTC)
    CacheDebt.objects.bulk_create(CacheDebt(key=key, created_at=now) for key in keys)


def _shorten(keys: list[str]) -> None:
    if breaker.allows():
        _quietly(lambda: _put_doubts(keys, DOUBT_AFTER_MS))


def _put_doubts(keys: Iterable[str], milliseconds: int) -> None:
    with client().pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.set(key, DOUBT, px=milliseconds)
        pipeline.execute()


def _quietly(action: Callable[[], object]) -> bool:
    try:
        action()
    except (RedisError, OSError) as error:
        breaker.trip(error)
        return False
    return True


def settle_debts() -> int:
    """
    Tell Redis what it missed, and forget what is older than any entry can be.

    Returns:
        how many keys were told.
    Raises:
        redis.exceptions.RedisError: it is still away.
    """
    client().ping()
    now = datetime.now(UTC)
    debts = list(CacheDebt.objects.order_by("pk").values_list("pk", "key"))
    _put_doubts([key for _, key in debts], DOUBT_BEFORE_MS)
    void = CacheDebt.objects.filter(created_at__lt=now - timedelta(seconds=2 * ENTRY_SECONDS))
    # Not deleted at once: another process may have met the failure and not looked here yet. Nor inside somebody's
    # transaction, which would keep the rows locked.
    if debts and not connection.in_atomic_block:
        void.filter(pk__lte=debts[-1][0]).delete()
    return len(debts)
