"""
gunicorn's side of `config.kernel.bodies`: a body that knows its connection and its worker.

By itself gunicorn says "100 Continue" before anybody has looked at the request, cannot be told to close a connection,
and closes one whose body was not read after 64 KiB of it, which makes clients lose the answer.
"""

import socket
import time
from contextlib import suppress
from typing import Any, Final

from gunicorn.http.body import Body, ChunkedReader, LengthReader

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LINGER_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 2.0
BUFFER_BYTES: Final = 1 << 18
DRAINED_BYTES: Final = 1 << 15


class WatchedBody(Body):
    """
    Hooks of config/gunicorn.py: `pre_request` puts one around the body, `post_request` calls `end`.

    Attributes:
        failed: read by gunicorn: the connection cannot be used again.
    """

    def __init__(self, request: Any, worker: Any) -> None:
        super().__init__(request.body.reader)
        self._request, self._worker = request, worker
        self._should_close = request.should_close
        self._continue_wanted = bool(request._expected_100_continue)
        request._expected_100_continue = False
        self._begun = False

    @property
    def stopping(self) -> bool:
        """Whether the worker was told to stop."""
        return not self._worker.alive

    def begin(self) -> None:
        """Somebody wants all of the body now."""
        self._begun = True
        self._send_continue()

    def should_close(self) -> bool:
        """Asked when the head of the answer is written: "Connection: close" or "keep-alive"."""
        return bool(self._should_close()) or self.failed or self._continue_wanted or self._too_much_is_unread()

    def end(self) -> None:
        """
        The answer was sent. A connection that is to be closed is let go of here: gunicorn would do so in its main
        thread, which everybody waits for.
        """
        if self.should_close():
            self._linger()
            self.failed = True

    def _send_continue(self) -> None:
        if self._continue_wanted:
            self._continue_wanted = False
            self._request.unreader.sock.sendall(CONTINUE)

    def _read_reader(self, size: int) -> bytes:
        self._send_continue()
        return bytes(super()._read_reader(size))

    def _too_much_is_unread(self) -> bool:
        """More than gunicorn itself reads and drops; any, if reading it was given up: the rest may never come."""
        if isinstance(self.reader, ChunkedReader):
            return self.reader.parser is not None
        return int(self.reader.length) > (0 if self._begun else DRAINED_BYTES)

    def _linger(self) -> None:
        """
        Let a client that sends first and listens later finish, within bounds (RFC 9112, 9.6): closing a socket with
        unread bytes resets the connection, and the answer is lost with it.
        """
        sock, dropped = self._request.unreader.sock, bytearray(BUFFER_BYTES)
        until = time.monotonic() + LINGER_SECONDS
        with suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(SILENT_SECONDS)
            while time.monotonic() < until and sock.recv_into(dropped):
                pass
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def watch(worker: Any, request: Any) -> None:
    """For `pre_request`; leaves bodies of HTTP/2 alone."""
    reader = getattr(request.body, "reader", None)
    if isinstance(reader, LengthReader | ChunkedReader) and hasattr(request.unreader, "sock"):
        request.body = WatchedBody(request, worker)
        request.should_close = request.body.should_close


def end(request: Any, response: Any) -> None:
    """For `post_request`; `response` is None, or has sent nothing, after an error that gunicorn answers itself."""
    if isinstance(request.body, WatchedBody) and response is not None and response.headers_sent:
        request.body.end()
