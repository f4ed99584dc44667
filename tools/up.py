"""
`make up`: everything that Sluice is made of, on this machine, in the foreground, until Ctrl-C.

The web site, the task workers, the sweeper, the pruner, the relay of events and the consumer of the reports, on the
embedded Postgres, Valkey and Kafka (or on those that DATABASE_URL, REDIS_URL and KAFKA_BOOTSTRAP_SERVERS name). What
dies is started again; what each says is in .local/logs.

Of the supervisors from PyPI, honcho starts nothing again and circus brings a message bus; this needs neither.
"""

import ctypes
import fcntl
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final

CHECKOUT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from config.embedded import EmbeddedError, kafka_bootstrap, postgres_url, redis_url  # noqa: E402
from config.embedded.place import home_directory  # noqa: E402
from config.multiprocess import metrics_directory  # noqa: E402

HOST: Final = "127.0.0.1"
PORT: Final = 8000
PORTS_TRIED: Final = 20
START_SECONDS: Final = 60.0
# Below the 30 s that we promise; what has not ended by then is killed.
STOP_SECONDS: Final = 28.0
TICK_SECONDS: Final = 0.2
LOG_BYTES: Final = 32 << 20
# A process that keeps dying is started again after 1, 2, 4, … seconds.
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
# Who has lived so long starts with the shortest pause again.
SOUND_SECONDS: Final = 60.0
SAMPLE_ROWS: Final = 50_000
SAMPLE_DEFECTS: Final = "all:2"
PR_SET_PDEATHSIG: Final = 1
PUBLISHED: Final = (
    "from django.db.models import Sum; from orders.outbox.models import Lane; "
    "print(Lane.objects.aggregate(number=Sum('published'))['number'] or 0)"
)
ANOTHER_BROKER: Final = """\
The broker is another one than the last time: it keeps events in memory only. What was sent to the one before is gone
from Kafka and is not sent again; it is in Postgres, and in the reports. The partitions and offsets in the history of
orders made before are those of the former broker. New events begin at offset 0."""

DRAMATIQ: Final = ("-m", "dramatiq", "config.worker", "--skip-logging", "--worker-shutdown-timeout", "20000")
PROCESSORS: Final = str(len(os.sched_getaffinity(0)))
COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "web": ("-m", "gunicorn", "-c", "config/gunicorn.py", "config.wsgi"),
    "steps": (*DRAMATIQ, "-p", "1", "-t", "8", "-Q", "steps"),
    "small": (*DRAMATIQ, "-p", "1", "-t", "1", "-Q", "small"),
    "large": (*DRAMATIQ, "-p", PROCESSORS, "-t", "1", "-Q", "large"),
    "sweeper": ("manage.py", "recover_imports", "--every", "15"),
    "pruner": ("manage.py", "prune_uploads", "--every", "3600"),
    "relay": ("manage.py", "relay_outbox"),
    "consumer": ("manage.py", "consume_orders"),
}
"""What runs, by the name of its log; arguments of Python, in the checkout."""


class UpError(Exception):
    """It cannot be started; the text says why."""


@dataclass
class Child:
    """One of the processes, in a session of its own, so that Ctrl-C reaches only us."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS

    def start(self) -> None:
        """Start it; its output is added to its log."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=CHECKOUT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=_die_with_parent,
            )  # fmt: skip
        self.started_at = time.monotonic()

    def look(self) -> None:
        """Start it again when it has died, after a pause."""
        now = time.monotonic()
        if self.process is not None:
            status = self.process.poll()
            if status is None:
                return
            if now - self.started_at > SOUND_SECONDS:
                self.pause = FIRST_PAUSE_SECONDS
            self.start_at, self.process = now + self.pause, None
            say(f"{self.name} {_ended(status)}; it starts again in {self.pause:.0f} s. {shown(self.log)} says why.")
            self.pause = min(2 * self.pause, LONGEST_PAUSE_SECONDS)
        if now >= self.start_at:
            self.start()

    def signal(self, number: int) -> None:
        """Send a signal; SIGKILL reaches its children, too."""
        if self.process is None or self.process.poll() is not None:
            return
        if number == signal.SIGKILL:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class Stack:
    """All of them together."""

    children: list[Child]
    asked_to_stop: int = 0
    handlers: dict[int, Any] = field(default_factory=dict)

    def run_until_stopped(self) -> None:
        """Keep them running until Ctrl-C, SIGTERM or SIGHUP."""
        while not self.asked_to_stop:
            for child in self.children:
                child.look()
            time.sleep(TICK_SECONDS)

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.asked_to_stop += 1

    def stop(self) -> None:
        """End them properly; after STOP_SECONDS, or at a second Ctrl-C, by force."""
        for child in self.children:
            child.signal(signal.SIGTERM)
        asked, deadline = self.asked_to_stop, time.monotonic() + STOP_SECONDS
        while self._alive() and time.monotonic() < deadline and self.asked_to_stop == asked:
            time.sleep(TICK_SECONDS)
        for child in self._alive():
            say(f"{child.name} does not end; killing it. What it had in hand is done again at the next start.")
            child.signal(signal.SIGKILL)
        for child in self.children:
            if child.process is not None:
                child.process.wait()

    def _alive(self) -> list[Child]:
        return [child for child in self.children if child.alive]


def main() -> int:
    os.chdir(CHECKOUT)
    home = home_directory()
    home.mkdir(parents=True, exist_ok=True)
    with only_one(home) as note:
        port = choose_port()
        step("Databases")
        # The embedded servers live as long as some process has asked for them: this one does for its children.
        say("PostgreSQL of DATABASE_URL" if os.environ.get("DATABASE_URL") else f"PostgreSQL, {postgres_url()}")
        say("Redis of REDIS_URL" if os.environ.get("REDIS_URL") else f"Valkey, {redis_url()}")
        brokers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
        say("Kafka of KAFKA_BOOTSTRAP_SERVERS" if brokers else f"Kafka, in memory, {kafka_bootstrap()}")
        environment = environment_of(port)
        step("Tables, topics, static files, a demo admin")
        manage(environment, "migrate", "--verbosity", "0")
        make_topics(environment, forgetful=not brokers)
        if environment["SLUICE_LOCAL"] == "0":  # in local mode they are served as they are
            manage(environment, "collectstatic", "--no-input", "--verbosity", "0")
        admin = manage(environment, "create_demo_admin")
        sample = make_sample(environment, home)
        say("Ready.")
        run(environment, home, port, note, admin=admin, sample=sample)
    return 0


def run(environment: dict[str, str], home: Path, port: int, note: IO[str], *, admin: str, sample: Path) -> None:
    """Start everything, say where to look, and stay until told to stop."""
    logs = home / "logs"
    logs.mkdir(exist_ok=True)
    metrics = metrics_directory.prepare()
    environment = {**environment, "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    children = [
        Child(name, [sys.executable, *arguments], environment, logs / f"{name}.log")
        for name, arguments in COMMANDS.items()
    ]
    stack = Stack(children)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stack.on_signal)
    try:
        for child in children:
            child.start()
        url = f"http://{HOST}:{port}"
        write_note(note, url)
        if wait_until_ready(url, stack):
            token = manage(environment, "create_token", demo_email(admin), "--days", "30").strip()
            print(
                where_to_look(url, admin=admin, token=token, sample=sample, logs=logs, brokers=brokers_of(environment)),
                flush=True,
            )
        stack.run_until_stopped()
        say("\nEnding; a second Ctrl-C kills.")
    finally:
        stack.stop()
        metrics_directory.remove()
    say("Ended. The databases stop by themselves in 20 s; `make up` goes on where this stopped.")


@contextmanager
def only_one(home: Path) -> Iterator[IO[str]]:
    """Hold the lock of this checkout; its file says who does, and where the site is."""
    with (home / "up.lock").open("a+", encoding="utf-8") as note:
        try:
            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note.seek(0)
            raise UpError(f"It runs already: {note.read().strip() or 'just starting'}. Ctrl-C there ends it.") from None
        write_note(note, "")
        os.set_inheritable(note.fileno(), False)
        yield note
        note.truncate(0)


def write_note(note: IO[str], url: str) -> None:
    note.truncate(0)
    note.write(f"pid {os.getpid()}" + (f", {url}" if url else ""))
    note.flush()


def choose_port() -> int:
    """PORT if it is set, else the first free one from 8000 on."""
    wished = os.environ.get("PORT")
    if wished:
        if not wished.isdigit() or not 0 < int(wished) < 65_536:
            raise UpError(f"PORT is {wished!r}, which is not the number of a port.")
        if not is_free(int(wished)):
            raise UpError(f"Port {wished} of {HOST} is taken by another program. Choose another: make up PORT=8080")
        return int(wished)
    for port in range(PORT, PORT + PORTS_TRIED):
        if is_free(port):
            if port != PORT:
                say(f"Port {PORT} of {HOST} is taken by another program; taking {port}.")
            return port
    raise UpError(f"Ports {PORT} to {PORT + PORTS_TRIED - 1} of {HOST} are all taken. Choose one: make up PORT=18000")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def environment_of(port: int) -> dict[str, str]:
    """Of all processes."""
    given = {name: value for name, value in os.environ.items() if name not in ("PORT", "MAKEFLAGS", "MAKELEVEL")}
    # Certificates, sessions and the like need a key: who gives one means it, others get one that is kept in .local.
    keyed = given.get("SECRET_KEY") or given.get("SECRET_KEY_FILE")
    defaults = {
        "SLUICE_LOCAL": "0" if keyed and given.get("DATABASE_URL") else "1",
        "WEB_PROCESSES": "2",
        "LOG_LEVEL": "INFO",
        "PYTHONUNBUFFERED": "1",
    }
    return {**defaults, **given, "BIND": f"{HOST}:{port}"}


def manage(environment: dict[str, str], *arguments: str) -> str:
    """Run a command of manage.py to its end; returns what it printed."""
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise UpError(f"{done.stdout}manage.py {shlex.join(arguments)} ended with exit status {done.returncode}.")
    return done.stdout


def make_topics(environment: dict[str, str], *, forgetful: bool) -> None:
    """
    Make the topics that the broker lacks, and tell what it means when it lacks those that were there.

    Args:
        forgetful: it is the embedded broker.
    """
    made = "was made" in manage(environment, "kafka_topics", "--create")
    if made and forgetful and int(manage(environment, "shell", "--verbosity", "0", "--command", PUBLISHED)):
        say(ANOTHER_BROKER)


def make_sample(environment: dict[str, str], home: Path) -> Path:
    """A file to try things with, some of its records defective."""
    path = home / "sample" / "orders.csv"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        options = ["--rows", str(SAMPLE_ROWS), "--defects", SAMPLE_DEFECTS]
        manage(environment, "make_sample_csv", str(path.with_suffix(".part.csv")), *options)
        path.with_suffix(".part.csv").replace(path)
    return path


def wait_until_ready(url: str, stack: Stack) -> bool:
    """Until the site can serve; False when we are told to stop meanwhile."""
    deadline = time.monotonic() + START_SECONDS
    while not stack.asked_to_stop:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return True
        except (urllib.error.URLError, OSError) as error:
            web = stack.children[0]
            if not web.alive or time.monotonic() > deadline:
                raise UpError(f"The site does not start ({error}):\n{_tail(web.log)}\nAll of it: {web.log}") from None
            time.sleep(TICK_SECONDS)
    return False


def demo_email(admin: str) -> str:
    """The e-mail in what create_demo_admin printed."""
    found = next((word for word in admin.replace(",", " ").split() if "@" in word), None)
    if found is None:
        raise UpError(f"create_demo_admin named no e-mail address:\n{admin}")
    return found.strip("<>.:;'\"()")


def brokers_of(environment: dict[str, str]) -> str:
    """Where Kafka listens."""
    return environment.get("KAFKA_BOOTSTRAP_SERVERS") or kafka_bootstrap()


def where_to_look(url: str, *, admin: str, token: str, sample: Path, logs: Path, brokers: str) -> str:
    who, prefix = " ".join(admin.split()), os.environ.get("KAFKA_TOPIC_PREFIX", "")
    return f"""
── Sluice runs ─────────────────────────────────────────────────────────────────────────────────────

  Admin      {url}/admin/
             {who}
  API        {url}/docs        the schema: {url}/schema
  Reports    {url}/reports/days      of what is in Kafka
  Health     {url}/readyz      metrics: {url}/metrics
  Logs       {shown(logs)}/{{{",".join(COMMANDS)}}}.log

  In another terminal:

    export TOKEN={token}

    curl -T {shown(sample)} -H "Authorization: Bearer $TOKEN" '{url}/imports?profile=sluice'
    curl -H "Authorization: Bearer $TOKEN" {url}/imports
    kcat -b {brokers} -t {prefix}sluice.orders.v1 -C -q -f '%p/%o %k  %h\\n  %s\\n'

  docs/events.md says what these mean, and how to read them without kcat.

Ctrl-C ends everything.
"""


def _die_with_parent() -> None:
    """In the child, before it becomes the program: SIGTERM when we are killed, so that nothing is left behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _ended(status: int) -> str:
    return f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with exit status {status}"


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-15:]) if path.exists() else ""


def step(title: str) -> None:
    print(f"\n── {title} ".ljust(100, "─"), flush=True)


def say(text: str) -> None:
    print(text, flush=True)


def shown(path: Path) -> str:
    """A path as a person in the checkout would type it."""
    return os.path.relpath(path, CHECKOUT) if path.is_relative_to(CHECKOUT) else str(path)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (UpError, EmbeddedError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
