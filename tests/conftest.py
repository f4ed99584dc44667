"""
Databases for tests, on the embedded Postgres or on the one that DATABASE_URL names.

`db` is pytest-django's. Tests that need real commits take `database`; those that run commands, or kill things, take
`database_url` (a fresh migrated database) and `manage` (runs manage.py on it).
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psutil
import psycopg2
import pytest
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection, connections
from django.test.utils import setup_databases, teardown_databases
from psycopg2 import sql
from pytest_django import DjangoDbBlocker

from config.embedded.place import home_directory, place_open
from tests import preloaded

CHECKOUT = Path(__file__).resolve().parent.parent
COMMAND_SECONDS = 300
DROP_ATTEMPTS = 12

# Each test process has databases of its own, named by its pid, so that several runs can go on at once.
TEST_DATABASE = f"test_sluice_{os.getpid()}"
TEMPLATE_DATABASE = f"template_sluice_{os.getpid()}"
TABLESPACE = f"memory_sluice_{os.getpid()}"
OF_A_PROCESS = re.compile(r"^(?:test|template|case|memory)_sluice_(\d+)(?:_|$)")

MEMORY = Path("/dev/shm")
MUCH_MEMORY_BYTES = 4 << 30


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = TEST_DATABASE


@pytest.fixture(scope="session", autouse=True)
def _preloaded() -> Iterator[None]:
    yield
    preloaded.preloaded.stop()


@pytest.fixture(scope="session", autouse=True)
def _names_in_redis() -> None:
    """Redis is shared, too."""
    settings.CACHE_KEY_PREFIX = settings.CACHES["default"]["KEY_PREFIX"] = TEST_DATABASE
    settings.TASKS_NAMESPACE = f"tasks-{TEST_DATABASE}"


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> None:
    """Like ours, so that other processes know them, but for a million rounds."""
    PBKDF2PasswordHasher.iterations = 1


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Beside the test database keep an untouched copy: tests with `transactional_db` empty its tables."""
    with django_db_blocker.unblock():
        # pytest-django makes a database only when some test of the run has its mark or fixtures.
        missing = connection.settings_dict["NAME"] != TEST_DATABASE
        made = setup_databases(verbosity=0, interactive=False) if missing else []
        connections.close_all()
        _drop_databases_of_dead_processes()
        _execute("CREATE DATABASE {} TEMPLATE {}", TEMPLATE_DATABASE, TEST_DATABASE)
    yield
    with django_db_blocker.unblock():
        _execute("DROP DATABASE {} WITH (FORCE)", TEMPLATE_DATABASE)
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="session")
def _case_names() -> Iterator[str]:
    return (f"case_sluice_{os.getpid()}_{number}" for number in count(1))


@pytest.fixture(scope="session")
def _tablespace(django_db_setup: None) -> Iterator[str]:
    """Where tests' databases lie: in memory, if there is much; the 460 files of each are made three times as fast."""
    if settings.DATABASE_URL or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < MUCH_MEMORY_BYTES:
        yield "pg_default"
        return
    directory, account = MEMORY / TABLESPACE, place_open(home_directory()).account
    directory.mkdir(mode=0o700)
    if account:
        os.chown(directory, account.uid, account.gid)
    _execute(f"CREATE TABLESPACE {{}} LOCATION '{directory}'", TABLESPACE)
    yield TABLESPACE
    _execute("DROP TABLESPACE {}", TABLESPACE)
    directory.rmdir()


@pytest.fixture(scope="session")
def _drop_later(_tablespace: str) -> Iterator[Callable[[str], None]]:
    """Drops databases while the next tests run: a drop waits for a checkpoint. What fails is raised at the end."""
    server, drops = _url("postgres"), []
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield lambda name: drops.append(pool.submit(_drop, name, server=server))
    for drop in drops:
        drop.result()


@pytest.fixture
def database_url(_case_names: Iterator[str], _tablespace: str, _drop_later: Callable[[str], None]) -> Iterator[str]:
    """URL of a fresh, migrated database that only this test knows; dropped afterwards, whoever is still connected."""
    name = next(_case_names)
    _execute("CREATE DATABASE {} TEMPLATE {} TABLESPACE {}", name, TEMPLATE_DATABASE, _tablespace)
    yield _url(name)
    _drop_later(name)


@pytest.fixture
def database(database_url: str, django_db_blocker: DjangoDbBlocker, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """
    Django's connection, pointed to a database of the test's own, with real commits (instead of `transactional_db`,
    which would empty tables that refuse it); processes that the test starts by `manage` or `serve` see the same one.
    """
    name = urlsplit(database_url).path.strip("/")
    monkeypatch.setattr(settings, "CACHE_KEY_PREFIX", name)
    monkeypatch.setattr(settings, "TASKS_NAMESPACE", f"tasks-{name}")
    with django_db_blocker.unblock():
        connection.close()
        usual, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], name
        yield name
        connection.close()
        connection.settings_dict["NAME"] = usual


class Manage:
    """
    Runs manage.py on the test's database, in a directory of its own.

        done = manage("ingest_csv", str(path), "--json")
        process = manage.start("ingest_csv", str(path))     # killed at the end of the test
    """

    def __init__(self, database_url: str, directory: Path) -> None:
        self.directory = directory
        # Redis is shared by all tests of this machine, so each has names of its own there, too.
        name = urlsplit(database_url).path.strip("/")
        self.environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "SLUICE_LOCAL": "1",
            "SECRET_KEY": "tests",
            "CACHE_KEY_PREFIX": name,
            "TASKS_NAMESPACE": f"tasks-{name}",
            "MEDIA_ROOT": str(directory / "media"),
        }
        self.started: list[subprocess.Popen[str]] = []

    def __call__(
        self, *arguments: str, env: dict[str, str] | None = None, timeout: float = COMMAND_SECONDS, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a command to its end; its output is captured as text.

        Args:
            env: variables to add.
            timeout: seconds.
            options: of subprocess.run; with `input` alone, or none, libraries need not be imported first
                (`tests.preloaded`).
        """
        command, environment = self._command(arguments), {**self.environment, **(env or {})}
        if not options.keys() - {"input"} or options == {"stdin": subprocess.DEVNULL}:
            given = options.get("input")
            return preloaded.run(command[1:], cwd=self.directory, env=environment, timeout=timeout, input=given)
        return subprocess.run(
            command, cwd=self.directory, env=environment, timeout=timeout, capture_output=True, text=True, check=False,
            **options,
        )  # fmt: skip

    def start(self, *arguments: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start a command in a session of its own (`os.killpg` reaches its workers) and return at once."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        process: subprocess.Popen[str] = subprocess.Popen(
            self._command(arguments), cwd=self.directory, env={**self.environment, **(env or {})}, text=True,
            start_new_session=True, **streams,
        )  # fmt: skip
        self.started.append(process)
        return process

    def end(self) -> None:
        """Kill what is still running of the started commands, with their children."""
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, str(CHECKOUT / "manage.py"), *arguments]


@pytest.fixture
def manage(database_url: str, tmp_path: Path) -> Iterator[Manage]:
    """Runs manage.py commands on a fresh database in `tmp_path`."""
    manage = Manage(database_url, tmp_path)
    yield manage
    manage.end()


@pytest.fixture
def run(manage: Manage) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run("ingest_csv", …)` → the completed process."""
    return manage


@pytest.fixture
def connect(database_url: str) -> Iterator[Callable[[], Any]]:
    """Opens plain psycopg2 connections (autocommit) to the test's database."""
    opened: list[Any] = []

    def open_connection() -> Any:
        opened.append(psycopg2.connect(database_url))
        opened[-1].autocommit = True
        return opened[-1]

    yield open_connection
    for each in opened:
        each.close()


@pytest.fixture
def private_services(tmp_path: Path) -> Iterator[dict[str, str]]:
    """
    Environment of an instance of the embedded services that only this test knows, so that it may kill them.

    Commands get it as `env`; in-process code needs `monkeypatch.setenv`. Starts nothing by itself.
    """
    home = tmp_path / "services"
    names = ("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")
    environment = {"SLUICE_LOCAL_DIR": str(home), "SLUICE_EMBEDDED_GRACE_SECONDS": "5"} | dict.fromkeys(names, "")
    yield environment
    done = preloaded.run(
        ["-m", "config.embedded", "destroy"], cwd=CHECKOUT, env={**os.environ, **environment}, timeout=COMMAND_SECONDS
    )
    assert done.returncode == 0, done.stderr


def _parameters() -> dict[str, str]:
    """How to reach the server, as libpq wants it."""
    parameters: dict[str, Any] = connection.get_connection_params()
    return {key: str(parameters[key]) for key in ("host", "port", "user", "password") if parameters.get(key)}


def _url(database: str) -> str:
    found = _parameters()
    password = f":{quote(found['password'], safe='')}" if "password" in found else ""
    query = "&".join(f"{key}={quote(found[key], safe='')}" for key in ("host", "port") if key in found)
    return f"postgresql://{quote(found.get('user', ''), safe='')}{password}@/{database}?{query}"


def _execute(statement: str, *names: str, server: str = "") -> list[tuple[Any, ...]]:
    """
    Run one statement outside of any transaction, and outside of Django's connection, which may be in a test's.

    Args:
        server: URL of a database to connect to; threads must give it.
    """
    connected = psycopg2.connect(server or _url("postgres"))
    try:
        connected.autocommit = True
        with connected.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
            return cursor.fetchall() if cursor.description else []
    finally:
        connected.close()


def _drop(database: str, *, server: str) -> None:
    """Postgres gives its other sessions five seconds to end, which is short on a busy machine."""
    for left in reversed(range(DROP_ATTEMPTS)):
        try:
            _execute("DROP DATABASE {} WITH (FORCE)", database, server=server)
        except psycopg2.errors.ObjectInUse:
            if not left:
                raise
        else:
            return


def _drop_databases_of_dead_processes() -> None:
    if settings.DATABASE_URL:
        return  # on a shared server the pids may be those of another machine
    for (name,) in _execute("SELECT datname FROM pg_database"):
        owner = OF_A_PROCESS.match(name)
        if owner and not psutil.pid_exists(int(owner[1])):
            _execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
    for (name,) in _execute("SELECT spcname FROM pg_tablespace"):
        owner = OF_A_PROCESS.match(name)
        if owner and not psutil.pid_exists(int(owner[1])):
            with contextlib.suppress(psycopg2.errors.ObjectNotInPrerequisiteState):  # another process is dropping these
                _execute("DROP TABLESPACE IF EXISTS {}", name)
                shutil.rmtree(MEMORY / name, ignore_errors=True)
