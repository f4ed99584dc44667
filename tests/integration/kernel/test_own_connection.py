"""Reading entries over a connection of the thread's own: a server that closes or lags."""

import os
import socket
from collections.abc import Iterator

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from config.kernel.caching import OwnConnection, client


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
    own._connection.send_command("CLIENT", "ID")
    assert client().client_kill_filter(_id=own._connection.read_response()) == 1
    assert own.mget(keys[:1]) == [b"small"]


def test_an_answer_that_came_too_late_is_nobody_elses(keys: list[str]) -> None:
    own = OwnConnection()
    own.mget(keys)
    silent, peer = socket.socketpair()
    silent.settimeout(0.05)
    own._connection._parser._sock = silent
    with silent, peer, pytest.raises(RedisTimeoutError):
        own.mget(keys)
    assert own.mget(keys[:2]) == [b"small", None]


def test_each_process_has_its_own(monkeypatch: pytest.MonkeyPatch, keys: list[str]) -> None:
    own = OwnConnection()
    own.mget(keys)
    first = own._connection
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as after a fork
    own.mget(keys)
    assert own._connection is not first
