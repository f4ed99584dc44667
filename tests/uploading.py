"""
A site to upload to, and a client that speaks HTTP by hand, to send what no library sends and see all that comes back.
"""

import base64
import http.client
import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2

from tests.conftest import TEMPLATE_DATABASE, Manage, _execute, _url
from tests.serving import Site

TYPE = "application/offset+octet-stream"
MAKE_PEOPLE = """
from knox.models import AuthToken
from accounts.models import Role, RoleMembership, User
for name, role in {people!r}:
    user = User.objects.create(id=name, name=name.title(), email=name + "@example.com", password="!")
    if role:
        RoleMembership.objects.create(user=user, role=Role.objects.get(slug=role))
    print("TOKEN", name, AuthToken.objects.create(user=user)[1])
"""


def make_people(manage: Manage, *people: tuple[str, str]) -> dict[str, str]:
    """Create users, each with a role, by (id, slug of the role or ""); their bearer tokens by id."""
    done = manage("shell", "-c", MAKE_PEOPLE.format(people=people))
    assert done.returncode == 0, done.stderr
    rows = (line.split() for line in done.stdout.splitlines() if line.startswith("TOKEN "))
    return {name: token for _, name, token in rows}


@dataclass
class Answer:
    """What came back; names of headers are lower-case."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def offset(self) -> int:
        return int(self.headers["upload-offset"])

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


@dataclass
class Client:
    """
    Sends requests of tus, with one connection each unless `connection` is given.

    Headers: Tus-Resumable and the bearer token are added; None takes one away.
    """

    url: str
    token: str
    timeout: float = 60
    extra: dict[str, str] = field(default_factory=dict)

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the site."""
        parts = urlsplit(self.url)
        return http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=self.timeout)

    def headers(self, headers: dict[str, Any] | None = None) -> dict[str, str]:
        """All headers of a request; names with `_` for `-`."""
        found = {"Tus-Resumable": "1.0.0", "Authorization": f"Bearer {self.token}", **self.extra}
        found |= {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        return {name: str(value) for name, value in found.items() if value is not None}

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        connection: http.client.HTTPConnection | None = None,
        chunked: bool = False,
        **headers: Any,
    ) -> Answer:
        """One request and its answer."""
        used = connection or self.connect()
        used.request(method, path, body=body, headers=self.headers(headers), encode_chunked=chunked)
        answer = read_answer(used.getresponse())
        if connection is None:
            used.close()
        return answer

    def create(
        self, length: int | None = None, body: Any = None, *, metadata: Any = "start=manual", **headers: Any
    ) -> str:
        """Create an upload; its path. `metadata`: "key=value,…"."""
        answer = self.creation(length, body, metadata=metadata, **headers)
        assert answer.status == 201, answer
        return answer.headers["location"]

    def creation(
        self, length: int | None = None, body: Any = None, *, metadata: Any = "start=manual", **headers: Any
    ) -> Answer:
        """The answer to a creation."""
        if metadata:
            headers.setdefault("Upload_Metadata", encoded(metadata))
        if length is not None:
            headers.setdefault("Upload_Length", length)
        if body is not None:
            headers.setdefault("Content_Type", TYPE)
        return self.send("POST", "/uploads", body, **headers)

    def patch(self, path: str, body: Any, offset: int | None = None, **headers: Any) -> Answer:
        """Add bytes."""
        headers = {"Content_Type": TYPE, "Upload_Offset": offset, **headers}
        return self.send("PATCH", path, body, **headers)

    def head(self, path: str, **headers: Any) -> Answer:
        """Ask for the offset."""
        return self.send("HEAD", path, **headers)

    def delete(self, path: str, **headers: Any) -> Answer:
        """Terminate."""
        return self.send("DELETE", path, **headers)

    def begin(self, method: str, path: str, *, length: int | None = None, **headers: Any) -> socket.socket:
        """Send the head of a request whose body the caller sends by and by (or does not)."""
        if length is not None:
            headers["Content_Length"] = length
        parts = urlsplit(self.url)
        opened = socket.create_connection((str(parts.hostname), parts.port), timeout=self.timeout)
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers(headers).items())
        opened.sendall(f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{lines}\r\n".encode())
        return opened


@dataclass
class Served:
    """A site of the module's own, and its people."""

    site: Site
    manage: Manage
    tokens: dict[str, str]
    database_url: str

    def client(self, name: str = "alice", **options: Any) -> Client:
        """Somebody's client."""
        return Client(self.site.url, self.tokens[name], **options)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database says."""
        connection = psycopg2.connect(self.database_url)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def stored(self, path: str) -> bytes:
        """All bytes of an upload, as they lie on the disk."""
        query = "SELECT name FROM ingestion_segment WHERE upload_id = %s AND content = 'stored' ORDER BY number"
        return b"".join((self.media / name).read_bytes() for (name,) in self.rows(query, path.rsplit("/", 1)[1]))

    @property
    def media(self) -> Path:
        """Where the bytes lie."""
        return self.manage.directory / "media/uploads"


@contextmanager
def served_site(directory: Path, **environment: str) -> Iterator[Served]:
    """Gunicorn with one process on a database of its own; Alice and Bob may upload, Ada all, Charlie nothing."""
    name = f"case_sluice_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    _execute("CREATE DATABASE {} TEMPLATE {}", name, TEMPLATE_DATABASE)
    manage = Manage(_url(name), directory)
    manage.environment |= environment
    tokens = make_people(manage, ("alice", "integrator"), ("bob", "integrator"), ("charlie", ""), ("ada", "admin"))
    site = Site(manage.environment, directory, processes=1, threads=8)
    yield Served(site, manage, tokens, _url(name))
    site.stop()
    manage.end()
    _execute("DROP DATABASE {} WITH (FORCE)", name)


def receive_answer(opened: socket.socket, method: str = "PATCH") -> Answer:
    """The answer to a request that was begun with `Client.begin`."""
    response = http.client.HTTPResponse(opened, method=method)
    response.begin()
    return read_answer(response)


def read_answer(response: http.client.HTTPResponse) -> Answer:
    """All of a response."""
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, response.reason, headers, response.read())


def encoded(metadata: str) -> str:
    """Metadata as the header has it, from "key=value,key"."""
    pairs = (part.partition("=") for part in metadata.split(","))
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" if sign else key for key, sign, value in pairs)


def curl(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run curl."""
    return subprocess.run(
        ["curl", "-sS", *arguments], capture_output=True, text=True, check=False, timeout=120, **options
    )
