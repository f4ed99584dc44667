"""
Rows by id in Redis, never stale after a commit, and never needed.

An entry is absent, a value, or a *doubt*. Whoever changes a row calls `mark_changed` as the last thing in its
transaction: that replaces the entries by doubts **before** the commit, so nobody can read the old value after it.
Readers who meet a doubt go to Postgres and store nothing. After the commit the doubt stays for `DOUBT_AFTER_MS`, longer
than a reader may take from before its query to storing what it found (`LOAD_LOCK_MS`, by Redis's own clock); so a value
read before the commit cannot be stored after it. A writer that dies leaves a doubt that ends by itself.

If Redis does not take a doubt, the key is written to `CacheDebt` in the same transaction, and `teller` tells Redis
after the commit, again and again until it listens. A process uses the cache again after a failure only when it has
settled such debts, and entries live for `ENTRY_SECONDS` only, so that even a Redis which some processes reach and
others do not cannot serve an old value for longer.

A circuit breaker per process keeps a dead or frozen Redis from costing more than one time-out in `BREAK_SECONDS`. The
doubt is the lease of Nishtala et al., Scaling Memcache at Facebook (NSDI 2013), turned round: the writer holds it.
"""

import math
import os
import secrets
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
BREAK_SECONDS: Final = 5.0
SETTLE_AGAIN_SECONDS: Final = 10.0
TELL_AGAIN_SECONDS: Final = 1.0
TOLD_AT_MOST: Final = 100_000
LOAD_LOCK_MS: Final = 1_000
LOAD_WAIT_SECONDS: Final = 0.05
LOAD_POLL_SECONDS: Final = 0.005
MARKED_AT_ONCE: Final = 1_000
# KEYS: an entry, and who loads it; ARGV: a random right, an entry that counts as missing ("": none), milliseconds.
# Gives the right to load, 1, to one who asks at a time; or what stands there ("": nothing yet).
CLAIM: Final = """
local entry = redis.call('GET', KEYS[1]) or ''
if (entry == '' or entry == ARGV[2]) and redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3], 'NX') then return 1 end
return entry
"""
# ARGV: the right, as before, what was loaded ("": nothing), seconds. Gives the right back, and stores if it had not
# ended and the entry is still missing. Redis keeps the time: a process may sleep between any two of its steps.
STORE: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
local entry = redis.call('GET', KEYS[1]) or ''
if ARGV[3] == '' or (entry ~= '' and entry ~= ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'EX', ARGV[4])
return 1
"""


class Breaker:
    """Whether Redis is worth asking: closed (yes), or open for some seconds after a failure."""

    def __init__(self) -> None:
        self._open_until = 0.0
        self._doubtful = True  # a new process does not know what others could not tell
        self._settle_again_at = math.inf
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether to ask Redis now; the first question after a failure settles debts before."""
        now = time.monotonic()
        if not self._doubtful and now < self._settle_again_at:
            return True
        if now < self._open_until or not self._lock.acquire(blocking=False):
            return not self._doubtful
        try:
            # Others stay on Postgres while one tries.
            self._open_until = now + BREAK_SECONDS
            settle_debts()
            # Once more later: a writer that met the same failure may not have committed its debts yet.
            self._settle_again_at = now + SETTLE_AGAIN_SECONDS if self._doubtful else math.inf
            self._doubtful = False
        except (RedisError, OSError):
            self._doubtful = True
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


def fill(
    entry_key: str,
    entry: bytes | None,
    load: Callable[[], bytes | None],
    *,
    seconds: int = ENTRY_SECONDS,
    replaces: bytes | None = None,
) -> bytes | None:
    """
    Load what `read_many` did not find, and store it if nobody changes it meanwhile.

    Args:
        entry: what `read_many` gave for the key: None or DOUBT.
        seconds: how long it is kept.
        replaces: an entry (VALUE + bytes) that counts as missing.
    """
    # In a transaction we may see what nobody else may see yet.
    if entry is not None or connection.in_atomic_block or not breaker.allows():
        return load()
    right, found = _right_to_load(entry_key, replaces)
    if found is not None:
        return found
    value = load()
    if right is not None:
        stored = b"" if value is None else VALUE + value
        arguments = (entry_key, _loading(entry_key), right, replaces or b"", stored, seconds)
        _quietly(lambda: client().eval(STORE, 2, *arguments))
    return value


def _loading(entry_key: str) -> str:
    return f"{entry_key}:loading"


def _right_to_load(entry_key: str, replaces: bytes | None) -> tuple[str | None, bytes | None]:
    """The right to store, for LOAD_LOCK_MS; or None, and what its holder has stored meanwhile, if it has."""
    until = time.monotonic() + LOAD_WAIT_SECONDS
    right = secrets.token_hex(8)
    try:
        arguments = (entry_key, _loading(entry_key), right, replaces or b"", LOAD_LOCK_MS)
        while (entry := client().eval(CLAIM, 2, *arguments)) != 1:
            if entry.startswith(VALUE) and entry != replaces:
                return None, bytes(entry[1:])
            if entry == DOUBT or time.monotonic() > until:
                return None, None
            time.sleep(LOAD_POLL_SECONDS)
    except (RedisError, OSError) as error:
        breaker.trip(error)
        return None, None
    return right, None


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
    transaction.on_commit(lambda: teller.tell(keys), robust=True)


def _shorten(keys: list[str]) -> None:
    if breaker.allows():
        _quietly(lambda: _put_doubts(keys, DOUBT_AFTER_MS))


def _put_doubts(keys: Iterable[str], milliseconds: int) -> None:
    with client().pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.set(key, DOUBT, px=milliseconds)
        pipeline.execute()


class Teller:
    """
    Puts the doubts that Redis did not take: at once, and then every second from a thread, until it does or no entry
    can be left. Asks on a connection of its own, whatever the breaker says: others may reach Redis.
    """

    def __init__(self) -> None:
        self._untold: dict[str, float] = {}  # key → when its entry has ended by itself
        self._is_telling = False
        self._lock = threading.Lock()

    def tell(self, keys: Sequence[str]) -> None:
        """These have changed, and it is committed. Takes one time-out at most; only debts tell what is too many."""
        with self._lock:
            if len(self._untold) + len(keys) <= TOLD_AT_MOST:
                self._untold.update(dict.fromkeys(keys, time.monotonic() + ENTRY_SECONDS))
            if self._is_telling:
                return
            self._is_telling = True
        if not self._is_done_after_telling():
            threading.Thread(target=self._go_on, name="cache-teller", daemon=True).start()

    def _go_on(self) -> None:
        while not self._is_done_after_telling():
            time.sleep(TELL_AGAIN_SECONDS)

    def _is_done_after_telling(self) -> bool:
        with self._lock:
            untold = dict(self._untold)
        told = _put_doubts_anew(list(untold))
        now = time.monotonic()
        with self._lock:
            for key, until in untold.items():
                # One that has changed again meanwhile is told again.
                if (told or until < now) and self._untold.get(key) == until:
                    del self._untold[key]
            self._is_telling = bool(self._untold)
            return not self._untold


teller = Teller()


def _put_doubts_anew(keys: Sequence[str]) -> bool:
    """Put doubts on a fresh connection; returns whether Redis took them all."""
    try:
        own = client().connection_pool.make_connection()
        try:
            for start in range(0, len(keys), MARKED_AT_ONCE):
                batch = keys[start : start + MARKED_AT_ONCE]
                own.send_packed_command(own.pack_commands([("SET", key, DOUBT, "PX", DOUBT_AFTER_MS) for key in batch]))
                for _ in batch:
                    own.read_response()
        finally:
            own.disconnect()
    except (RedisError, OSError):
        return False
    return True


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
