"""
`make demo`: make an order file with planted defects, load it, and hold the outcome against what was planted. Then the
events: they are relayed to Kafka and read back by a plain reader, whose sums must be those of the database.

With arguments it runs manage.py on the demo's database, for instance `tools/demo.py dbshell`.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

CHECKOUT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

import psycopg2  # noqa: E402
from psycopg2 import sql  # noqa: E402

from config.embedded import EmbeddedError, kafka_bootstrap, postgres_url  # noqa: E402
from config.embedded.place import home_directory, place_open  # noqa: E402
from config.embedded.programs import postgres_program  # noqa: E402
from tools.reading_back import ReadBack, read_imports, read_orders  # noqa: E402

ROWS: Final = 300_000
COLUMNS: Final = (
    "order_id,line_no,user_id,sku,quantity,item_name,unit_price,currency,ordered_at,country,user_name,user_email"
)
DEFECTS: Final = "all:20,record_too_long:2"
COMPLETED_WITH_REJECTS: Final = 3
ERRORS_SHOWN: Final = 4
REPORT_SECONDS: Final = 120.0
"""How long the consumer of the reports may take for what is left."""
ENDING_SECONDS: Final = 30.0
WIDTH: Final = 150


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


class Demo:
    """The demo's directory and database."""

    def __init__(self) -> None:
        self.directory = home_directory() / "demo"
        self.file = self.directory / "orders.csv"
        self.manifest = self.directory / "manifest.json"
        self.rejects = self.directory / "rejects"
        self.note = self.directory / "database"
        self.given = os.environ.get("DATABASE_URL", "")
        # The embedded server lives as long as some process has asked for it: this one does for its children.
        self.server = self.given or postgres_url()
        self.database = "demo"
        self.brokers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or kafka_bootstrap()
        # Topics of this demo alone: the broker may still have those of the one before.
        self.prefix = time.strftime("demo-%Y%m%d-%H%M%S.", time.gmtime())

    @property
    def url(self) -> str:
        return urlunsplit(urlsplit(self.server)._replace(path=f"/{self.database}"))

    def environment(self) -> dict[str, str]:
        """What makes manage.py work on the demo's database."""
        psql = postgres_program(place_open(home_directory()), "psql")
        path = f"{os.environ.get('PATH', '')}:{psql.parent}"
        local = {} if os.environ.get("SECRET_KEY") or os.environ.get("SECRET_KEY_FILE") else {"SLUICE_LOCAL": "1"}
        topics = {"KAFKA_TOPIC_PREFIX": self.prefix}
        return {**os.environ, **local, **topics, "DATABASE_URL": self.url, "PATH": path}

    def make_database(self) -> str:
        """Make the database anew and return the server's version. On a given server nothing is ever dropped."""
        if self.given:
            self.database = time.strftime("sluice_demo_%Y%m%d_%H%M%S", time.gmtime())
        with connected(self.server) as cursor:
            if not self.given:
                cursor.execute("DROP DATABASE IF EXISTS demo WITH (FORCE)")
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.database)))
            cursor.execute("SHOW server_version")
            version = str(cursor.fetchone()[0]).split()[0]
        self.directory.mkdir(parents=True, exist_ok=True)
        self.note.write_text(self.database)
        return f"PostgreSQL {version}"

    def certificate(self) -> dict[str, Any]:
        """The certificate of the import."""
        with connected(self.url) as cursor:
            cursor.execute("SELECT certificate FROM ingestion_import ORDER BY id DESC LIMIT 1")
            found = cursor.fetchone()
        if not found or found[0] is None:
            raise DemoError("The import has no certificate.")
        return dict(found[0])

    def manage(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of manage.py on the demo's database."""
        command = [sys.executable, str(CHECKOUT / "manage.py"), *arguments]
        return subprocess.run(command, env=self.environment(), text=True, check=False, **options)

    @contextmanager
    def beside(self, *arguments: str) -> Iterator[None]:
        """Let a command of manage.py run beside what is done meanwhile, then tell it to end."""
        log = (self.directory / f"{arguments[0]}.log").open("wb")
        command = [sys.executable, str(CHECKOUT / "manage.py"), *arguments]
        process = subprocess.Popen(command, env=self.environment(), stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """A cursor on a connection of its own, each statement committed at once."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        yield connection.cursor()
    finally:
        connection.close()


def main() -> int:
    demo = Demo()
    if len(sys.argv) > 1:
        return manage(demo, sys.argv[1:])
    os.chdir(CHECKOUT)
    step("A database")
    say(f"{demo.make_database()}, database {demo.database}, empty")
    required(demo.manage("migrate", "--verbosity", "0"), "migrate")
    required(demo.manage("kafka_topics", "--create", stdout=subprocess.DEVNULL), "kafka_topics")
    step("A file with defects")
    make_file(demo)
    step("Loading it")
    report, status = load(demo)
    loaded = time.monotonic()
    step("Checking")
    certificate = demo.certificate()
    differences = list(compare(expected(demo), certificate))
    say_comparison(differences, certificate)
    verified = demo.manage("verify_import", str(certificate["import_id"])).returncode
    step("What errors.csv says")
    show_errors(demo)
    step("Events")
    with demo.beside("consume_orders"):
        told = [*events(demo, certificate), *reports(demo)]
    step("Report")
    print(report.replace("manage.py", f"{python()} tools/demo.py"))
    print("\n".join(["", "What was read back", *(f"  {line}" for line in told)]))
    say(f"  all of it {time.monotonic() - loaded:.0f} s after loading")
    print(next_steps(demo))
    return 1 if differences or verified or status != COMPLETED_WITH_REJECTS else 0


def manage(demo: Demo, arguments: list[str]) -> int:
    """manage.py on the database that the last demo made."""
    try:
        demo.database = demo.note.read_text()
    except FileNotFoundError:
        raise DemoError("There is no demo database yet. Run: make demo") from None
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command
    return demo.manage(*arguments).returncode


def make_file(demo: Demo) -> None:
    made = demo.manage(
        "make_sample_csv", shown(demo.file), "--rows", str(ROWS), "--columns", COLUMNS, "--defects", DEFECTS,
        "--manifest", shown(demo.manifest), stdout=subprocess.PIPE,
    )  # fmt: skip
    required(made, "make_sample_csv")
    planted = json.loads(demo.manifest.read_text())["planted"]
    kinds = sorted({record["kind"].replace("_", " ") for record in planted})
    say(made.stdout.strip())
    text = f"{len(planted):,} of its records are out of the ordinary on purpose: {', '.join(kinds)}."
    say(textwrap.fill(text, width=100))


def load(demo: Demo) -> tuple[str, int]:
    """Run ingest_csv; its progress is seen at once, its report comes back."""
    for old in demo.rejects.glob("*.csv"):
        old.unlink()
    say(f"$ manage.py ingest_csv {shown(demo.file)} --rejects {shown(demo.rejects)}")
    done = demo.manage("ingest_csv", shown(demo.file), "--rejects", shown(demo.rejects), stdout=subprocess.PIPE)
    if done.returncode not in (0, COMPLETED_WITH_REJECTS):
        raise DemoError(f"{done.stdout}\ningest_csv ended with exit status {done.returncode}.")
    return done.stdout.rstrip(), done.returncode


def expected(demo: Demo) -> dict[str, Any]:
    """What the certificate has to say, in its own terms, from the manifest alone."""
    manifest = json.loads(demo.manifest.read_text())
    told = manifest["expected"]
    return {
        "sha256": manifest["sha256"],
        "bytes": manifest["bytes"],
        **{name: told[name] for name in ("records", "loaded", "rejected", "errors")},
        "ignored_reasons": told["ignored"],
        **{f"{kind}_inserted": told[kind] for kind in ("users", "items", "orders")},
        "lines_inserted": told["loaded"],
        **dict.fromkeys(("unchanged", "skipped", "unprocessed"), 0),
    }


def compare(planted: dict[str, Any], certificate: dict[str, Any]) -> Iterator[str]:
    """Every figure in which the two differ, as a sentence."""
    for name, value in planted.items():
        found = certificate.get(name)
        if found == value:
            continue
        if not isinstance(value, dict):
            yield f"{name}: planted {value}, found {found}"
            continue
        for code in sorted({*value, *(found or {})}):
            if value.get(code, 0) != (found or {}).get(code, 0):
                yield f"{name}, {code}: planted {value.get(code, 0)}, found {(found or {}).get(code, 0)}"


def say_comparison(differences: list[str], certificate: dict[str, Any]) -> None:
    if differences:
        say("THE BOOKS DIFFER FROM WHAT WAS PLANTED:")
        for difference in differences:
            say(f"  {difference}")
        return
    say(
        f"The books equal what was planted: {certificate['loaded']:,} loaded, {certificate['rejected']:,} rejected "
        f"for {len(certificate['errors'])} reasons, {certificate['ignored']:,} ignored; as many users, items, orders."
    )


def show_errors(demo: Demo) -> None:
    with (demo.rejects / "errors.csv").open(encoding="utf-8", newline="") as lines:
        for line in islice(lines, ERRORS_SHOWN + 1):
            text = line.rstrip("\r\n")
            say(text if len(text) <= WIDTH else text[: WIDTH - 1] + "…")


def events(demo: Demo, certificate: dict[str, Any]) -> Iterator[str]:
    """
    Send them, and read everything back.

    Raises:
        DemoError: what was read is not what the database has.
    """
    begun = time.monotonic()
    with (demo.directory / "relay_outbox.log").open("ab") as log:
        required(demo.manage("relay_outbox", "--once", stderr=log), "relay_outbox")
    say(f"$ manage.py relay_outbox --once      all are sent, after {time.monotonic() - begun:.1f} s")
    begun = time.monotonic()
    servers = demo.brokers.split(",")
    found = read_orders(servers, f"{demo.prefix}sluice.orders.v1")
    imports = read_imports(servers, f"{demo.prefix}sluice.imports.v1")
    say(f"A plain reader (tools/reading_back.py) read everything back in {time.monotonic() - begun:.1f} s.")
    wrong = list(wrong_events(demo, found, imports, certificate))
    if wrong:
        raise DemoError("\n".join(["THE EVENTS ARE NOT WHAT THE DATABASE HAS:", *wrong]))
    revenue = ", ".join(f"{sums[2]:,.2f} {currency}" for currency, sums in sorted(found.sums().items()))
    yield f"{found.events:,} events of {len(found.orders):,} orders were published, and read back by a plain reader"
    yield f"{len(found.ids):,} distinct ids; each order's versions were in order"
    yield f"the sums equal those of the database: {revenue}"
    yield f"import {imports[0]['import_id']}: {imports[0]['state'].replace('_', ' ')}, one event"


def wrong_events(
    demo: Demo, found: ReadBack, imports: list[dict[str, Any]], certificate: dict[str, Any]
) -> Iterator[str]:
    """Each way in which what was read differs from the database, as a sentence."""
    with connected(demo.url) as cursor:
        cursor.execute("SELECT count(*), sum(version) FROM orders_order")
        orders, versions = (int(number) for number in cursor.fetchone())
        cursor.execute(
            "SELECT o.currency, count(DISTINCT o.id), sum(l.quantity), coalesce(sum(l.quantity * l.unit_price), 0) "
            "FROM orders_order o JOIN orders_orderline l ON l.order_id = o.id GROUP BY 1"
        )
        sums = {currency: (int(number), int(pieces), value) for currency, number, pieces, value in cursor.fetchall()}
    if len(found.orders) != orders:
        yield f"orders: {orders:,}, read {len(found.orders):,}"
    if len(found.ids) != versions:
        yield f"versions: {versions:,}, distinct ids {len(found.ids):,}"
    if found.disorder:
        yield f"not in order: {', '.join(found.disorder[:5])}"
    if found.sums() != sums:
        yield f"sums: {sums}, read {found.sums()}"
    states = [(each["import_id"], each["state"], each["records"]) for each in imports]
    if states != [(certificate["import_id"], certificate["state"], certificate["records"])]:
        yield f"imports: {states}"


def reports(demo: Demo) -> Iterator[str]:
    """
    What our own consumer made of the events.

    Raises:
        DemoError: it does not come to an end, or differs from the database.
    """
    begun = time.monotonic()
    with connected(demo.url) as cursor:
        while True:
            cursor.execute("SELECT coalesce(sum(orders), 0), sum(revenue) FROM reports_day")
            reported = cursor.fetchone()
            cursor.execute(
                "SELECT count(DISTINCT o.id) FILTER (WHERE o.status <> 'cancelled'), "
                "       sum(l.quantity * l.unit_price) FILTER (WHERE o.status <> 'cancelled') "
                "FROM orders_order o JOIN orders_orderline l ON l.order_id = o.id"
            )
            wanted = cursor.fetchone()
            if reported == wanted:
                break
            if time.monotonic() - begun > REPORT_SECONDS:
                raise DemoError(f"The reports have {reported}, the database {wanted}; consume_orders.log may say why.")
            time.sleep(0.5)
    say(f"The reports (manage.py consume_orders) had caught up after {time.monotonic() - begun:.1f} s.")
    yield f"the reports show the same {int(wanted[0]):,} orders"


def next_steps(demo: Demo) -> str:
    run = f"{python()} tools/demo.py"
    question = "SELECT country, count(*) FROM orders_order GROUP BY 1 ORDER BY 2 DESC LIMIT 5"
    lines = [
        "",
        f"What to try next (tools/demo.py runs manage.py on the database {demo.database})",
        f'  {run} dbshell -- -c "{question}"',
        f"  {run} preview_csv YOUR.csv",
        f"  {run} ingest_csv YOUR.csv --dry-run",
    ]
    if demo.given:
        lines.append(f"The database {demo.database} on your server is yours to drop.")
    else:
        lines.append("`make stop` stops Postgres, `make clean` removes all data of this checkout.")
    return "\n".join(lines)


def required(done: subprocess.CompletedProcess[str], what: str) -> None:
    if done.returncode != 0:
        raise DemoError(f"{what} ended with exit status {done.returncode}.")


def step(title: str) -> None:
    print(f"\n── {title} ".ljust(100, "─"), flush=True)


def say(text: str) -> None:
    print(text, flush=True)


def shown(path: Path) -> str:
    """A path as a person in the checkout would type it."""
    return os.path.relpath(path, CHECKOUT) if path.is_relative_to(CHECKOUT) else str(path)


def python() -> str:
    return shown(Path(sys.executable))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (DemoError, EmbeddedError) as error:
        sys.exit(str(error))
    except psycopg2.Error as error:
        sys.exit(f"Postgres refused: {error}Without DATABASE_URL the demo brings a Postgres of its own.")
    except KeyboardInterrupt:
        sys.exit(130)
