"""
The body of a request as it arrives: in pieces as large as the socket gives, with a clock, chunked encoding included.

Django gives only what Content-Length announces, and blocks until all of a block is there. Under gunicorn this reads
from the connection instead: a byte is copied once, and whoever waits for bytes can look around now and then. Under
other servers it falls back to `wsgi.input`. Never touch `request.body` of the same request.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from gunicorn.http.body import ChunkedReader, LengthReader

BUFFER_BYTES: Final = 1 << 20
SMALL_BYTES: Final = 1 << 16
WAIT_SECONDS: Final = 0.5
"""How long `read` waits for a byte before it gives its caller a chance to look around."""
MAX_LINE_BYTES: Final = 8190
CHUNK_LINE: Final = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?")
CRLF: Final = b"\r\n"


class BodyCutError(Exception):
    """The client went away before the end of the body."""


class BodyMalformedError(Exception):
    """The chunked encoding is broken."""


class RequestBody:
    """
    Reads a body once:

        body = RequestBody(request.META)
        with body.reading():
            while (piece := body.read()) != b"":
                ...                             # None: nothing came for a while

    Attributes:
        expected_bytes: what Content-Length announces; None for a chunked body, whose length nobody knows.
        received_bytes: read so far.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
        self.expected_bytes: int | None = None if chunked else int(environ.get("CONTENT_LENGTH") or 0)
        self.received_bytes = 0
        self._input: Any = environ["wsgi.input"]
        self._source = self._find_source(environ)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around all calls of `read`: the connection has a time-out inside."""
        getattr(self._input, "begin", _nothing)()
        with self._source.waiting():
            yield

    def read(self) -> memoryview | bytes | None:
        """
        What has arrived, at least a byte; valid until the next call. b"" at the end, None when nothing came for
        WAIT_SECONDS.

        Raises:
            BodyCutError: the client went away.
            BodyMalformedError
        """
        try:
            piece = self._source.read()
        except (BodyCutError, BodyMalformedError):
            self._input.failed = True  # gunicorn: where the next request begins is unknown
            raise
        if piece is not None:
            self.received_bytes += len(piece)
        return piece

    @property
    def stopping(self) -> bool:
        """Whether the server was told to stop, and waits for running requests."""
        return bool(getattr(self._input, "stopping", False))

    def _find_source(self, environ: dict[str, Any]) -> "_Source":
        reader = getattr(self._input, "reader", None)
        if isinstance(reader, LengthReader) and hasattr(reader.unreader, "sock"):
            return _Counted(reader)
        if isinstance(reader, ChunkedReader) and hasattr(reader.req.unreader, "sock"):
            return _Chunked(reader)
        if self.expected_bytes is None and not environ.get("wsgi.input_terminated"):
            self.expected_bytes = 0  # a server that does not decode chunks
        return _Plain(self._input, self.expected_bytes)


class _Source(Protocol):
    def waiting(self) -> Any: ...

    def read(self) -> memoryview | bytes | None: ...


class _Connection:
    """The socket of a request together with what gunicorn's parser has read ahead."""

    def __init__(self, unreader: Any) -> None:
        self._unreader = unreader
        self._buffer = memoryview(b"")

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._unreader.sock.settimeout(WAIT_SECONDS)
        try:
            yield
        finally:
            self._unreader.sock.settimeout(None)

    def receive(self, limit: int) -> memoryview | bytes | None:
        """At least a byte and at most `limit`; None: nothing came."""
        if self._unreader.buf.getbuffer().nbytes:
            held: bytes = self._unreader.take_buffered()
            self.put_back(held[limit:])
            return held[:limit]
        try:
            count: int = self._unreader.sock.recv_into(self._buffer[: min(limit, BUFFER_BYTES)])
        except TimeoutError:
            return None
        except OSError as error:
            raise BodyCutError from error
        if not count:
            raise BodyCutError
        return self._buffer[:count]

    def put_back(self, data: bytes) -> None:
        """What belongs to the next request."""
        if data:
            self._unreader.unread(data)


class _Counted:
    """A body of known length."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._connection = _Connection(reader.unreader)
        self.waiting = self._connection.waiting

    @property
    def ended(self) -> bool:
        return bool(self._reader.length == 0)

    def read(self) -> memoryview | bytes | None:
        if self.ended:
            return b""
        piece = self._connection.receive(self._reader.length)
        if piece is not None:
            self._reader.length -= len(piece)  # as gunicorn itself does; what is left it drains
        return piece


class _Chunked:
    """
    A chunked body (RFC 9112, 7.1), decoded here: gunicorn's decoder cannot be interrupted while it waits. Extensions
    and trailers are skipped.
    """

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._connection = _Connection(reader.req.unreader)
        self.waiting = self._connection.waiting
        self.ended = False
        self._held = memoryview(b"")  # received, not yet decoded
        self._begun_line = b""  # what was before it
        self._left = 0  # of the current chunk
        self._behind_data = False
        self._in_trailers = False
        self._trailer_bytes = 0

    def read(self) -> memoryview | bytes | None:
        while not self.ended:
            if self._left:
                return self._data()
            line = self._line()
            if line is None:
                return None
            self._take(line)
        return b""

    def _data(self) -> memoryview | None:
        if not self._held and not self._receive():
            return None
        piece = self._held[: self._left]
        self._held = self._held[len(piece) :]
        self._left -= len(piece)
        self._behind_data = not self._left
        return piece

    def _take(self, line: bytes) -> None:
        """A line between data: the end of a chunk, the size of the next, a trailer."""
        if self._in_trailers:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > MAX_LINE_BYTES:
                raise BodyMalformedError
            if not line:
                self._end()
        elif self._behind_data:
            if line:
                raise BodyMalformedError
            self._behind_data = False
        else:
            found = CHUNK_LINE.fullmatch(line)
            if found is None:
                raise BodyMalformedError
            self._left = int(found[1], 16)
            self._in_trailers = not self._left

    def _end(self) -> None:
        self.ended = True
        self._reader.parser = None
        self._connection.put_back(bytes(self._held))

    def _line(self) -> bytes | None:
        while True:
            window = self._begun_line + bytes(self._held[:MAX_LINE_BYTES])
            end = window.find(CRLF)
            if end >= 0:
                self._held = self._held[end + len(CRLF) - len(self._begun_line) :]
                self._begun_line = b""
                return window[:end]
            if len(window) >= MAX_LINE_BYTES or b"\n" in window:
                raise BodyMalformedError
            self._begun_line, self._held = window, self._held[len(window) - len(self._begun_line) :]
            if not self._receive():
                return None

    def _receive(self) -> bool:
        more = self._connection.receive(BUFFER_BYTES)
        self._held = memoryview(more or b"")
        return more is not None


class _Plain:
    """Another server: `wsgi.input` as the standard has it."""

    def __init__(self, stream: Any, expected_bytes: int | None) -> None:
        self._stream, self._left = stream, expected_bytes
        self.ended = expected_bytes == 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        yield

    def read(self) -> bytes:
        if self.ended:
            return b""
        wanted = SMALL_BYTES if self._left is None else min(SMALL_BYTES, self._left)
        try:
            piece: bytes = self._stream.read(wanted)
        except OSError as error:
            raise BodyCutError from error
        if self._left is None:
            self.ended = not piece
        elif not piece:
            raise BodyCutError
        else:
            self._left -= len(piece)
            self.ended = not self._left
        return piece


def _nothing() -> None:
    """What another server than gunicorn does instead."""
