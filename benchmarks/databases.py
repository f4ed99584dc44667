"""Fresh databases for measurements, all cloned from one migrated template."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg2
from django.conf import settings
from django.db import connection
from psycopg2 import sql

CHECKOUT: Final = Path(__file__).resolve().parent.parent
TABLES: Final = ("accounts_user", "orders_item", "orders_order", "orders_orderline")


@dataclass(frozen=True)
class Server:
    """The Postgres server that Django's settings name (the embedded one by default)."""

    host: str
    port: str
    user: str
    password: str

    @classmethod
    def from_django(cls) -> "Server":
        """Locate the server; an embedded one is started, and lives as long as this process."""
        connection.ensure_connection()
        chosen = connection.settings_dict
        return cls(*(str(chosen[name] or "") for name in ("HOST", "PORT", "USER", "PASSWORD")))

    def url(self, name: str) -> str:
        """The URL of one of its databases."""
        account = quote(self.user, safe="") + (f":{quote(self.password, safe='')}" if self.password else "")
        port = f"&port={self.port}" if self.port else ""
        return f"postgresql://{account}@/{quote(name, safe='')}?host={quote(self.host, safe='')}{port}"


@dataclass(frozen=True)
class Database:
    """A database to measure in."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        """For DATABASE_URL, psql and psycopg2."""
        return self.server.url(self.name)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands that shall work in this database, without Django's debugging aids."""
        return {
            **os.environ,
            "DATABASE_URL": self.url,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "SECRET_KEY": settings.SECRET_KEY,
            "SLUICE_LOCAL": "1" if settings.LOCAL else "0",
            "DEBUG": "0",
            "LOG_LEVEL": "WARNING",
        }

    def query(self, statement: str | sql.Composable) -> list[tuple[Any, ...]]:
        """Run one statement outside of a transaction and return its rows."""
        with closing(psycopg2.connect(self.url)) as session:
            session.autocommit = True
            with session.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []

    def count(self, table: str) -> int:
        """The number of rows of a table."""
        ((count,),) = self.query(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
        return int(count)


@dataclass(frozen=True)
class Template:
    """A migrated, empty database."""

    database: Database

    @contextmanager
    def clone(self, label: str, *, keep: bool = False) -> Iterator[Database]:
        """A copy to measure in, dropped afterwards. A checkpoint is done first, so that nobody pays for others."""
        fresh = Database(self.database.server, f"sluice_bench_{os.getpid()}_{label}")
        _create(fresh, template=self.database.name)
        try:
            fresh.query("CHECKPOINT")
            yield fresh
        finally:
            if not keep:
                _drop(fresh)


@contextmanager
def migrated_template() -> Iterator[Template]:
    """
    The template, dropped at the end.

    Raises:
        subprocess.CalledProcessError: the migrations fail.
    """
    database = Database(Server.from_django(), f"sluice_bench_{os.getpid()}_template")
    _create(database, template="template0")
    try:
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(command, cwd=CHECKOUT, env=database.environment, check=True)
        yield Template(database)
    finally:
        _drop(database)


def _maintenance(database: Database) -> Database:
    return Database(database.server, "postgres")


def _create(database: Database, *, template: str) -> None:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    _maintenance(database).query(statement.format(sql.Identifier(database.name), sql.Identifier(template)))


def _drop(database: Database) -> None:
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    _maintenance(database).query(statement.format(sql.Identifier(database.name)))


@contextmanager
def working_directory() -> Iterator[Path]:
    """Where files, uploads and logs lie: on the checkout's disk, not in a /tmp that may be memory."""
    home = CHECKOUT / ".local" / "bench"
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as directory:
        yield Path(directory)
