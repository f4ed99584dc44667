"""Bodies read from a socket through gunicorn's own parser, however the bytes come and whatever follows them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import pairwise
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from hypothesis import given, settings, strategies as st

from config.kernel import bodies
from config.kernel.bodies import BodyCutError, BodyMalformedError, RequestBody

NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def request(head: bytes) -> Iterator[tuple[RequestParser, RequestBody, socket.socket]]:
    """The parser of a connection, the body of its first request, and the client's end."""
    ours, client = socket.socketpair()
    with ours, client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
        parser = RequestParser(Config(), ours, ("127.0.0.1", 1))
        message = next(parser)
        environ: dict[str, Any] = {"wsgi.input": message.body}
        for name, value in message.headers:
            environ[name.replace("-", "_") if name == "CONTENT-LENGTH" else f"HTTP_{name.replace('-', '_')}"] = value
        yield parser, RequestBody(environ), client


def read_all(body: RequestBody) -> bytes:
    parts = []
    with body.reading():
        while (piece := body.read()) != b"":
            if piece is not None:
                parts.append(bytes(piece))
    return b"".join(parts)


def chunked(pieces: list[bytes], extension: bytes = b"", trailer: bytes = b"") -> bytes:
    frames = [b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces if piece]
    return b"".join(frames) + b"0\r\n" + trailer + b"\r\n"


@given(data=st.binary(max_size=200_000), cut=st.integers(0, 200_000))
@settings(max_examples=40, deadline=None)
def test_counted(data: bytes, cut: int) -> None:
    with request(b"Content-Length: %d\r\n" % len(data)) as (parser, body, client):
        client.sendall(data[:cut])
        client.sendall(data[cut:] + NEXT)
        assert body.expected_bytes == len(data)
        assert read_all(body) == data
        assert body.received_bytes == len(data)
        assert next(parser).path == "/next"


@given(
    pieces=st.lists(st.binary(max_size=30_000), max_size=8),
    cuts=st.lists(st.integers(0, 100_000), max_size=5),
    extension=st.sampled_from([b"", b";a=b", b" ;a", b' ; a="x"']),
    trailer=st.sampled_from([b"", b"A: b\r\n", b"A: b\r\nC: d\r\n"]),
)
@settings(max_examples=80, deadline=None)
def test_chunked(pieces: list[bytes], cuts: list[int], extension: bytes, trailer: bytes) -> None:
    sent = chunked(pieces, extension, trailer) + NEXT
    with request(b"Transfer-Encoding: chunked\r\n") as (parser, body, client):
        bounds = [0, *sorted(cut for cut in cuts if cut < len(sent)), len(sent)]
        received = []
        with body.reading():
            for begin, end in pairwise(bounds):
                client.sendall(sent[begin:end])
                if end == len(sent):
                    break
                piece = body.read() if begin != end else b""
                received.append(bytes(piece or b""))
            while (piece := body.read()) != b"":
                received.append(bytes(piece or b""))
        assert body.expected_bytes is None
        assert b"".join(received) == b"".join(pieces)
        assert next(parser).path == "/next"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "WAIT_SECONDS", 0.005)


@pytest.mark.parametrize("head", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_who_waits_may_look_around(head: bytes) -> None:
    with request(head) as (_, body, _client), body.reading():
        assert body.read() is None
        assert body.read() is None


@pytest.mark.parametrize(
    ("head", "sent"),
    [
        (b"Content-Length: 5\r\n", b"abc"),
        (b"Content-Length: 5\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nabc"),
        (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"3"),
    ],
)
def test_cut(head: bytes, sent: bytes) -> None:
    """Whatever arrived is handed out first."""
    with request(head) as (parser, body, client):
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        with pytest.raises(BodyCutError):
            read_all(body)
        with pytest.raises(StopIteration):  # the connection is not used again
            next(parser)


@pytest.mark.parametrize(
    "sent",
    [
        b"3\r\nabcd\r\n",
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"0x3\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b"3\nabc\r\n",
        b"3 3\r\nabc\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"1" * 20 + b"\r\n",
        b"1;" + b"a" * 9_000,
        b"0\r\n" + b"a: b\r\n" * 3_000,
    ],
)
def test_malformed(sent: bytes) -> None:
    with request(b"Transfer-Encoding: chunked\r\n") as (parser, body, client):
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        with pytest.raises(BodyMalformedError):
            read_all(body)
        with pytest.raises(StopIteration):
            next(parser)


class TestOtherServers:
    def test_counted(self) -> None:
        body = RequestBody({"wsgi.input": BytesIO(b"abcdef"), "CONTENT_LENGTH": "3"})
        assert read_all(body) == b"abc"

    def test_cut(self) -> None:
        with pytest.raises(BodyCutError):
            read_all(RequestBody({"wsgi.input": Stream(b"ab"), "CONTENT_LENGTH": "3"}))

    def test_chunked_where_the_server_decodes(self) -> None:
        environ = {"wsgi.input": Stream(b"abc"), "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
        assert read_all(RequestBody(environ)) == b"abc"

    def test_chunked_where_it_does_not(self) -> None:
        """Better nothing than the frames of an encoding taken for data."""
        environ = {"wsgi.input": Stream(b"3\r\nabc"), "HTTP_TRANSFER_ENCODING": "chunked"}
        assert read_all(RequestBody(environ)) == b""


class Stream(BytesIO):
    """An input that, like those of servers, can be marked."""

    failed = False
