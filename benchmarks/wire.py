"""A client that costs next to nothing, so that what is measured is the server: one kept connection, raw bytes."""

import json
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

BUFFER_BYTES: Final = 1 << 16
PIECE_BYTES: Final = 1 << 18
TIMEOUT_SECONDS: Final = 600


class UnexpectedAnswerError(Exception):
    """The server answered with another status than the measurement needs."""

    def __init__(self, request: str, status: int, body: bytes) -> None:
        super().__init__(f"{request}: {status} {body[:2_000]!r}")


class Wire:
    """One connection to a site; `token` is sent with every request."""

    def __init__(self, port: int, token: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._token = token

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def head(self, method: str, path: str, headers: Mapping[str, str] | None = None, *, length: int = 0) -> bytes:
        """A request up to its body."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}"]
        if self._token:
            lines.append(f"Authorization: Bearer {self._token}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def exchange(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Send a whole request; returns status, head and body of the answer."""
        self._socket.sendall(request)
        return self.receive()

    def receive(self) -> tuple[int, bytes, bytes]:
        """The next answer."""
        got = b""
        while (end := got.find(b"\r\n\r\n")) < 0:
            more = self._socket.recv(BUFFER_BYTES)
            if not more:
                raise ConnectionError("the server closed the connection")
            got += more
        head, body = got[:end], got[end + 4 :]
        length = _content_length(head)
        while len(body) < length:
            more = self._socket.recv(BUFFER_BYTES)
            if not more:
                raise ConnectionError("the server closed the connection")
            body += more
        return int(head[9:12]), head, body

    def call(self, method: str, path: str, body: Any = None, *, expect: int, **headers: str) -> Any:
        """
        A request with a JSON body, and the JSON of its answer.

        Raises:
            UnexpectedAnswerError: another status than expected.
        """
        sent = b"" if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} if sent else {}
        status, _, answer = self.exchange(self.head(method, path, {**given, **headers}, length=len(sent)) + sent)
        if status != expect:
            raise UnexpectedAnswerError(f"{method} {path}", status, answer)
        return json.loads(answer) if answer else None

    def send_file(
        self, method: str, path: str, file: Path, headers: Mapping[str, str], *, expect: int, rate: int = 0
    ) -> tuple[bytes, bytes, float]:
        """
        A request whose body is a file.

        Args:
            rate: bytes a second; 0: as fast as it goes.
        Returns:
            head and body of the answer, and when the last byte was sent (time.perf_counter).
        """
        size = file.stat().st_size
        self._socket.sendall(self.head(method, path, headers, length=size))
        with file.open("rb") as source:
            if rate:
                _throttled(self._socket.sendall, source.read, size, rate)
            else:
                self._socket.sendfile(source)
        sent_at = time.perf_counter()
        status, head, body = self.receive()
        if status != expect:
            raise UnexpectedAnswerError(f"{method} {path}", status, body)
        return head, body, sent_at


def header(head: bytes, name: str) -> str:
    """A header of an answer."""
    wanted = name.lower().encode() + b":"
    for line in head.split(b"\r\n"):
        if line.lower().startswith(wanted):
            return line.partition(b":")[2].strip().decode()
    raise KeyError(name)


def _content_length(head: bytes) -> int:
    try:
        return int(header(head, "Content-Length"))
    except KeyError:
        return 0


def _throttled(send: Callable[[bytes], None], read: Callable[[int], bytes], size: int, rate: int) -> None:
    begun, sent = time.perf_counter(), 0
    while sent < size:
        piece = read(min(PIECE_BYTES, size - sent))
        send(piece)
        sent += len(piece)
        ahead = sent / rate - (time.perf_counter() - begun)
        if ahead > 0:
            time.sleep(ahead)
