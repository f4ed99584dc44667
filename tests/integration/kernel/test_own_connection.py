"""Reading entries over a connection of the thread's own: any values, a server that closes, lags or answers nonsense."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from config.kernel.caching import OwnConnection, Reply, client


def answer_in_pieces(data: bytes, sizes: list[int]) -> list[bytes | None]:
    """What `Reply` makes of bytes that arrive in pieces of these sizes."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        begin = 0
        with theirs, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for size in [*sizes, len(data)]:
                theirs.sendall(data[begin : begin + size])
                begin += size

    sender = threading.Thread(target=send)
    sender.start()
    try:
        return Reply(ours).values()
    finally:
        ours.close()
        sender.join()


@given(
    st.lists(st.none() | st.binary(max_size=200), max_size=5), st.lists(st.integers(1, 9), max_size=40), st.booleans()
)
def test_values_however_they_arrive(values: list[bytes | None], sizes: list[int], resp3: bool) -> None:
    missing = b"_\r\n" if resp3 else b"$-1\r\n"
    parts = [missing if value is None else b"$%d\r\n%b\r\n" % (len(value), value) for value in values]
    assert answer_in_pieces(b"*%d\r\n%b" % (len(values), b"".join(parts)), sizes) == values


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"-LOADING Redis is loading\r\n", ResponseError),
        (b"*1\r\n-ERR no\r\n", ResponseError),
        (b"+OK\r\n", InvalidResponse),
        (b"*1\r\n:5\r\n", InvalidResponse),
        (b">2\r\n$1\r\na\r\n", InvalidResponse),
        (b"*1\r\n$5\r\nab", RedisError),
        (b"", RedisError),
    ],
)
def test_what_is_no_answer(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        answer_in_pieces(data, [])


@pytest.fixture
def keys() -> Iterator[list[str]]:
    names = [f"own-{os.getpid()}-{number}" for number in range(3)]
    client().mset({names[0]: b"small", names[2]: b"\r\n$3\r\n" * 60_000})
    yield names
    client().delete(*names)


def test_entries_of_the_real_server(keys: list[str]) -> None:
    own = OwnConnection()
    for _ in range(3):
        assert own.mget(keys) == [b"small", None, b"\r\n$3\r\n" * 60_000]


def test_a_connection_that_was_closed_is_made_again(keys: list[str]) -> None:
    own = OwnConnection()
    own.mget(keys)
    own._connection._sock.shutdown(socket.SHUT_RDWR)
    assert own.mget(keys[:1]) == [b"small"]
    for found in client().client_list():
        if found["cmd"] == "mget":
            client().client_kill(found["addr"])
    assert own.mget(keys[:1]) == [b"small"]


def test_an_answer_that_came_too_late_is_nobody_elses(keys: list[str]) -> None:
    own = OwnConnection()
    own.mget(keys)
    silent, peer = socket.socketpair()
    silent.settimeout(0.05)
    own._connection._sock.close()
    own._connection._sock = silent
    with peer, pytest.raises(TimeoutError):
        own.mget(keys)
    assert own.mget(keys[:2]) == [b"small", None]


def test_each_process_has_its_own(monkeypatch: pytest.MonkeyPatch, keys: list[str]) -> None:
    own = OwnConnection()
    own.mget(keys)
    first = own._connection
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as after a fork
    own.mget(keys)
    assert own._connection is not first
