"""
`python -m benchmarks.outbox` (`make bench-outbox`): what the outbox costs, on an Apache Kafka of its own.

The relay's throughput is a ratio to a bare loop of the same client that sends the same bytes in this run, in turn, so
that the machine's speed cancels out.
"""

import argparse
import json
import os
import pickle
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

import psutil  # noqa: E402 - Django first
import psycopg2  # noqa: E402
import pytest  # noqa: E402
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition  # noqa: E402
from kafka.admin import NewTopic  # noqa: E402

from benchmarks.databases import CHECKOUT, Database, Template, migrated_template, working_directory  # noqa: E402
from benchmarks.document import write_section  # noqa: E402
from benchmarks.goals import Result  # noqa: E402
from benchmarks.machine import machine_facts  # noqa: E402
from benchmarks.processes import run  # noqa: E402
from benchmarks.samples import make_sample  # noqa: E402
from config.kernel.kafka.topics import PARTITIONS, partition_of  # noqa: E402
from orders.events import PLACED  # noqa: E402
from orders.outbox import bulk  # noqa: E402
from orders.outbox.append import EVENTS, queries  # noqa: E402
from orders.outbox.events import Event  # noqa: E402
from orders.outbox.producers import confluent, kafka_python  # noqa: E402
from orders.outbox.producers.records import header_maker  # noqa: E402
from tests.apache_kafka import ApacheKafka, apache_kafka_jars  # noqa: E402

MIB: Final = 1 << 20
CLIENTS: Final = ("kafka-python", "confluent")
LEASE_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.01
WAIT_SECONDS: Final = 900.0
WRITERS: Final = 8
BETWEEN_SECONDS: Final = 0.02
"""Between two single events of all writers together, on the average."""

# An order with two lines, as placing it would write it, spread over users and lanes.
BACKLOG: Final = """
INSERT INTO outbox_entry (lane, kind, type, key, version, partition_key, placed_at, time, orders, payload, source)
SELECT abs(hashtext('o' || n)::bigint) % 8, 'order', %(type)s, 'o' || n, 1, 'u' || n % 9973, now(),
       '2026-11-27T09:00:00.123456Z', 1, convert_to(format(
           '{"order_id":"o%%s","version":1,"user_id":"u%%s","status":"placed","ordered_at":"2026-11-27T08:59:59Z",'
           '"country":"CH","currency":"EUR","lines":[{"line_no":1,"sku":"sku-%%s","quantity":2,"unit_price":"12.5000"},'
           '{"line_no":2,"sku":"sku-%%s","quantity":1,"unit_price":null}],"attributes":null,"import":null,'
           '"created_at":"2026-11-27T09:00:00.123456Z","updated_at":"2026-11-27T09:00:00.123456Z"}',
           n, n % 9973, n % 997, n % 991), 'UTF8'), 'bench'
FROM generate_series(%(first)s, %(last)s) n
""".replace(" % ", " %% ")


class NotDoneError(Exception):
    """Something did not happen in time; the message has what the relay said."""


@dataclass(frozen=True)
class Bench:
    """What all measurements need."""

    template: Template
    broker: ApacheKafka
    directory: Path
    options: argparse.Namespace

    def topics(self, prefix: str) -> None:
        """Make the topics of a measurement; the broker notes when it got a record."""
        admin = KafkaAdminClient(bootstrap_servers=self.broker.bootstrap)
        try:
            admin.create_topics(
                [
                    NewTopic(
                        f"{prefix}{name}", PARTITIONS, 1, topic_configs={"message.timestamp.type": "LogAppendTime"}
                    )
                    for name in ("sluice.orders.v1", "sluice.imports.v1")
                ],
                wait_for_metadata=True,
            )
        finally:
            admin.close()

    def drop(self, prefix: str) -> None:
        """Free the disk."""
        admin = KafkaAdminClient(bootstrap_servers=self.broker.bootstrap)
        try:
            admin.delete_topics([name for name in admin.list_topics() if name.startswith(prefix)])
        finally:
            admin.close()


class Relay:
    """A relay on a database; use it as a context."""

    def __init__(self, bench: Bench, database: Database, prefix: str, client: str) -> None:
        self._database = database
        self._log = (bench.directory / "relay.log").open("w+")
        self._environment = {
            **database.environment,
            "KAFKA_BOOTSTRAP_SERVERS": bench.broker.bootstrap,
            "KAFKA_TOPIC_PREFIX": prefix,
            "OUTBOX_PRODUCER": client,
            "OUTBOX_LEASE_SECONDS": str(LEASE_SECONDS),
        }

    def __enter__(self) -> "Relay":
        self.process = psutil.Popen(
            [sys.executable, "manage.py", "relay_outbox"],
            cwd=CHECKOUT, env=self._environment, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(60)
        self._log.close()

    def cpu_seconds(self) -> float:
        """Processor time of the relay so far, all its processes."""
        times = [process.cpu_times() for process in self._processes()]
        return float(sum(each.user + each.system for each in times))

    def size_bytes(self) -> int:
        """Resident memory of all its processes; what they share is counted for each of them."""
        return sum(int(process.memory_info().rss) for process in self._processes())

    def _processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def wait(self, true: Callable[[Any], bool], every: Callable[[], None] = lambda: None) -> None:
        """Until a question to the database is answered with yes."""
        until = time.monotonic() + WAIT_SECONDS
        with closing(psycopg2.connect(self._database.url)) as session:
            session.autocommit = True
            with session.cursor() as cursor:
                while not true(cursor):
                    if time.monotonic() > until or self.process.poll() is not None:
                        self._log.seek(0)
                        raise NotDoneError(self._log.read()[-4000:])
                    every()
                    time.sleep(POLL_SECONDS)


# Throughput


@dataclass(frozen=True)
class Run:
    """One time of sending everything: wall-clock time, and processor time of the process that sends."""

    seconds: float
    cpu_seconds: float


def throughput_kafka_python(bench: Bench) -> Result:
    """The relay with the client that Sluice comes with, and a bare loop around it."""
    return _throughput(bench, "kafka-python", bench.options.events)


def throughput_confluent(bench: Bench) -> Result:
    """The same with the faster client."""
    return _throughput(bench, "confluent", bench.options.events * 3)


def _throughput(bench: Bench, client: str, events: int) -> Result:
    with bench.template.clone("through") as database:
        _fill(database, events)
        bare_runs: list[Run] = []
        relay_runs: list[Run] = []
        for number in range(bench.options.rounds):
            prefix = f"{client}-{number}-"
            for kind in ("bare", "relay") if number % 2 else ("relay", "bare"):
                bench.topics(f"{prefix}{kind}-")
                if kind == "bare":
                    bare_runs.append(_bare(bench, database, client, f"{prefix}bare-"))
                else:
                    relay_runs.append(_relay(bench, database, client, f"{prefix}relay-", events))
            bench.drop(prefix)
    pairs = list(zip(bare_runs, relay_runs, strict=True))
    ratio = statistics.median(bare.seconds / ours.seconds for bare, ours in pairs)
    cpu = statistics.median(bare.cpu_seconds / ours.cpu_seconds for bare, ours in pairs)
    bare, ours = (statistics.median(run.seconds for run in runs) for runs in (bare_runs, relay_runs))
    return Result(
        f"relay ÷ a bare loop of {client}, {events:,} events", f"{events / ours:,.0f} events/s",
        f"{events / bare:,.0f} events/s (processor time {cpu:.2f} ×)", ratio, 0.8, "×", at_least=True,
    )  # fmt: skip


def _fill(database: Database, events: int) -> None:
    with closing(psycopg2.connect(database.url)) as session, session.cursor() as cursor:
        for first in range(0, events, 50_000):
            cursor.execute(BACKLOG, {"type": PLACED, "first": first, "last": min(first + 50_000, events) - 1})
            session.commit()
        session.autocommit = True
        cursor.execute("VACUUM ANALYZE outbox_entry")
        cursor.execute("CHECKPOINT")


def _relay(bench: Bench, database: Database, client: str, prefix: str, events: int) -> Run:
    """From the lanes' being claimed until the last position is saved."""
    database.query(
        "UPDATE outbox_lane SET owner = '', leased_until = NULL, position = NULL, batch = NULL, after_id = 0, "
        "after_event = 0, until_id = 0, published = 0, acknowledged_at = NULL"
    )
    begun = cpu_begun = 0.0

    def done(cursor: Any) -> bool:
        nonlocal begun, cpu_begun
        cursor.execute("SELECT count(*) FILTER (WHERE owner <> '' AND lane < 8), sum(published) FROM outbox_lane")
        claimed, published = cursor.fetchone()
        if claimed and not begun:
            begun, cpu_begun = time.perf_counter(), relay.cpu_seconds()
        return bool(published >= events)

    with Relay(bench, database, prefix, client) as relay:
        relay.wait(done)
        return Run(time.perf_counter() - begun, relay.cpu_seconds() - cpu_begun)


def _bare(bench: Bench, database: Database, client: str, prefix: str) -> Run:
    """From the first send until the last acknowledgement."""
    given = bench.directory / "payloads"
    headers = header_maker()
    payloads = []
    with closing(psycopg2.connect(database.url)) as session, session.cursor("entries") as cursor:
        cursor.execute("SELECT type, key, partition_key, placed_at, time, payload FROM outbox_entry ORDER BY lane, id")
        for type_, key, partition_key, placed_at, event_time, data in cursor:
            event = Event("orders", f"{key}:1", type_, key, 1, partition_key, placed_at, event_time, bytes(data))
            place = partition_of(partition_key, partitions=PARTITIONS)
            topic = f"{prefix}sluice.orders.v1"
            payloads.append((topic, partition_key.encode(), event.data, headers(event), place))
    given.write_bytes(pickle.dumps({"options": _options(client, bench.broker.bootstrap), "payloads": payloads}))
    del payloads
    command = [sys.executable, "-m", "benchmarks.bare_producer", client, str(given)]
    done = run(command, environment=os.environ, directory=CHECKOUT)
    given.unlink()
    return Run(*map(float, done.stdout.split()))


def _options(client: str, bootstrap: str) -> dict[str, Any]:
    """The relay's, as far as they are about speed."""
    if client == "confluent":
        return {
            "bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True,
            "linger.ms": confluent.LINGER_MS, "queue.buffering.max.messages": confluent.QUEUED_EVENTS,
        }  # fmt: skip
    return {
        "bootstrap_servers": bootstrap, "acks": "all", "enable_idempotence": True, "metrics_enabled": False,
        "batch_size": kafka_python.BATCH_BYTES,
    }  # fmt: skip


# What a bulk load pays


def bulk_cost(bench: Bench) -> Result:
    """Time of the statements that write outbox entries, done again on the same lists, to that of the import."""
    sample = make_sample(bench.directory, records=bench.options.rows)
    with bench.template.clone("import") as database:
        seconds = _import(database, sample.path, bench.directory)
        rows = database.query("SELECT payload, type, source FROM outbox_entry WHERE kind = 'bulk' ORDER BY id")
        spent = 0.0
        with closing(psycopg2.connect(database.url)) as session, session.cursor() as cursor:
            for payload, type_, source in rows:
                ids = [key for key, _ in bulk.decode(bytes(payload))]
                begun = time.perf_counter()
                again = psycopg2.Binary(bulk.encode(ids))
                values = {"type": type_, "orders": len(ids), "payload": again, "source": f"again {source}"}
                cursor.execute(queries.bulk, values)
                spent += time.perf_counter() - begun
    return Result(
        f"outbox entries ÷ an import of {bench.options.rows:,} records, time", f"{spent * 1000:,.0f} ms ({len(rows)})",
        f"{seconds:.1f} s", 100 * spent / seconds, 3, "%",
    )  # fmt: skip


def _import(database: Database, path: Path, directory: Path) -> float:
    """The import's own seconds."""
    command = [sys.executable, str(CHECKOUT / "manage.py"), "ingest_csv", str(path), "--workers", "2", "--json"]
    done = run([*command, "--rejects", str(directory)], environment=database.environment, directory=directory)
    assert json.loads(done.stdout)["state"] == "completed", done.stdout
    ((seconds,),) = database.query("SELECT extract(epoch FROM ended_at - started_at) FROM ingestion_import")
    return float(seconds)


# Memory and idleness


def drained_backlog(bench: Bench) -> Result:
    """Memory of the relay while it sends a long backlog: the most in the last half, to the most in the first tenth."""
    events, client = bench.options.backlog, "confluent"
    sizes: list[tuple[int, int]] = []
    with bench.template.clone("backlog") as database:
        _fill(database, events)
        bench.topics("backlog-")
        published = 0
        with Relay(bench, database, "backlog-", client) as relay:

            def done(cursor: Any) -> bool:
                nonlocal published
                cursor.execute("SELECT sum(published) FROM outbox_lane")
                published = int(cursor.fetchone()[0])
                return published >= events

            relay.wait(done, lambda: sizes.append((published, relay.size_bytes())))
        bench.drop("backlog-")
    first = max(size for number, size in sizes if number <= events / 10)
    last = max(size for number, size in sizes if number >= events / 2)
    return Result(
        f"memory while a backlog of {events:,} events drains ({client}): second half ÷ first tenth",
        f"{last / MIB:,.0f} MiB", f"{first / MIB:,.0f} MiB", last / first, 1.2, "×",
    )  # fmt: skip


def idle(bench: Bench) -> Result:
    """Processor time of a relay that has nothing to do."""
    with bench.template.clone("idle") as database:
        bench.topics("idle-")
        with Relay(bench, database, "idle-", "kafka-python") as relay:
            relay.wait(_all_claimed)
            time.sleep(3)
            begun, before = time.perf_counter(), relay.cpu_seconds()
            time.sleep(bench.options.idle_seconds)
            seconds = time.perf_counter() - begun
            spent = relay.cpu_seconds() - before
        bench.drop("idle-")
    return Result("idle relay", f"{spent * 1000:,.0f} ms", f"{seconds:.0f} s", 100 * spent / seconds, 2, "%")


def _all_claimed(cursor: Any) -> bool:
    cursor.execute("SELECT count(*) FROM outbox_lane WHERE owner = ''")
    return cursor.fetchone() == (0,)


# Latency


def latency_alone(bench: Bench) -> Result:
    """From the commit of a single event until the broker has it, with nothing else going on."""
    with bench.template.clone("alone") as database:
        taken = _latencies(bench, database, "alone-", lambda: None)
    return _latency_result("single writes, commit → broker, p99, alone", taken)


def latency_beside(bench: Bench) -> Result:
    """The same while an import runs, and its orders are relayed, too, and a transaction stays open all the time."""
    sample = make_sample(bench.directory, records=bench.options.rows)
    with bench.template.clone("beside") as database, closing(psycopg2.connect(database.url)) as late:
        with late.cursor() as cursor:
            cursor.execute(queries.selected.replace(EVENTS, queries.given), _single("late"))
        taken = _latencies(bench, database, "beside-", lambda: _import(database, sample.path, bench.directory), late)
    return _latency_result(f"the same while {bench.options.rows:,} records are imported and relayed", taken)


def _latencies(
    bench: Bench, database: Database, prefix: str, meanwhile: Callable[[], Any], late: Any = None
) -> list[float]:
    """
    Milliseconds of each event; written until `meanwhile` is over, at least `writes` of them.

    Args:
        late: a session whose transaction is committed at the end.
    """
    bench.topics(prefix)
    committed: dict[str, float] = {}
    done = threading.Event()
    writers = [
        threading.Thread(target=_write_singly, args=(database, number, committed, done)) for number in range(WRITERS)
    ]
    with Relay(bench, database, prefix, bench.options.latency_client) as relay:
        relay.wait(_all_claimed)
        for writer in writers:
            writer.start()
        meanwhile()
        while len(committed) < bench.options.writes:
            time.sleep(POLL_SECONDS)
        done.set()
        for writer in writers:
            writer.join()
        if late is not None:
            late.commit()
            committed["late:1"] = time.time()
        relay.wait(_nothing_waits)
    arrived = _arrived(bench, f"{prefix}sluice.orders.v1", set(committed))
    bench.drop(prefix)
    return [1000 * (arrived[event_id] - at) for event_id, at in committed.items()]


def _write_singly(database: Database, number: int, committed: dict[str, float], done: threading.Event) -> None:
    """Now and then an event in a transaction of its own; one in five is rolled back."""
    chance = random.Random(number)
    with closing(psycopg2.connect(database.url)) as session, session.cursor() as cursor:
        count = 0
        while not done.wait(chance.uniform(0, 2 * WRITERS * BETWEEN_SECONDS)):
            key, count = f"single-{number}-{count}", count + 1
            cursor.execute(queries.selected.replace(EVENTS, queries.given), _single(key))
            if chance.random() < 0.2:
                session.rollback()
            else:
                session.commit()
                committed[f"{key}:1"] = time.time()


def _single(key: str) -> dict[str, Any]:
    return {
        "key": key, "version": 1, "partition_key": key, "placed_at": "2026-11-27T09:00:00Z",
        "time": "2026-11-27T09:00:00Z", "data": "{}", "kind": "order", "type": PLACED, "source": "bench",
    }  # fmt: skip


def _nothing_waits(cursor: Any) -> bool:
    cursor.execute("SELECT (SELECT sum(published) FROM outbox_lane) >= (SELECT sum(orders) FROM outbox_entry)")
    return cursor.fetchone() == (True,)


def _arrived(bench: Bench, topic: str, ids: set[str]) -> dict[str, float]:
    """When the broker had them, by its own clock, which is that of this machine."""
    consumer = KafkaConsumer(bootstrap_servers=bench.broker.bootstrap, group_id=None, metrics_enabled=False)
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    found: dict[str, float] = {}
    with closing(consumer):
        while len(found) < len(ids):
            for records in consumer.poll(timeout_ms=1_000).values():
                for record in records:
                    event_id = dict(record.headers)["ce_id"].decode()
                    if event_id in ids:
                        found.setdefault(event_id, record.timestamp / 1000)
                    elif event_id.startswith("single-"):
                        raise NotDoneError(f"{event_id} was rolled back, and sent.")
    return found


def _latency_result(what: str, taken: list[float]) -> Result:
    p99 = statistics.quantiles(taken, n=100, method="inclusive")[98]
    return Result(what, f"median {statistics.median(taken):.0f} ms", f"{len(taken):,} events", p99, 250, "ms")


MEASUREMENTS: Final[dict[str, Callable[[Bench], Result]]] = {
    "kafka-python": throughput_kafka_python,
    "confluent": throughput_confluent,
    "bulk": bulk_cost,
    "backlog": drained_backlog,
    "idle": idle,
    "alone": latency_alone,
    "beside": latency_beside,
}


# Report


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Measure, print the table, and write it into docs/benchmarks.md.

    Returns:
        1 when a goal was missed, 2 when there is no Apache Kafka.
    """
    options = _parse(arguments)
    wanted = set(filter(None, options.only.split(","))) or set(MEASUREMENTS)
    results = []
    try:
        jars = apache_kafka_jars()
    except pytest.skip.Exception as error:
        print(error, file=sys.stderr)
        return 2
    with working_directory() as directory, migrated_template() as template, _broker(directory, jars) as broker:
        bench = Bench(template, broker, directory, options)
        for name, measure in MEASUREMENTS.items():
            if name in wanted:
                print(f"{name} …", flush=True)
                result = measure(bench)
                print("  " + " | ".join(result.cells()), flush=True)
                results.append(result)
        facts = machine_facts(template.database)
    if not (options.no_document or options.only):
        command = "python -m benchmarks.outbox " + " ".join(sys.argv[1:] if arguments is None else arguments)
        write_section("bench-outbox", _section(results, facts, options, command=command.strip()))
    return 0 if all(result.met for result in results) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outbox", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="relayed; three times as many by confluent")
    parser.add_argument("--rounds", type=int, default=5, help="of relay and bare loop in turn (%(default)s)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="records of the imported file (%(default)s)")
    parser.add_argument("--backlog", type=int, default=1_000_000, help="events that drain (%(default)s)")
    parser.add_argument("--idle-seconds", type=int, default=60, help="of idleness (%(default)s)")
    parser.add_argument("--writes", type=int, default=1_500, help="single writes (%(default)s)")
    parser.add_argument("--latency-client", choices=CLIENTS, default="kafka-python", help="(%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything; no document")
    parser.add_argument("--only", default="", metavar="NAME,…", help=f"of {', '.join(MEASUREMENTS)}; no document")
    parser.add_argument("--no-document", action="store_true", help="leave docs/benchmarks.md alone")
    options = parser.parse_args(arguments)
    if options.quick:
        options.events, options.rounds, options.rows, options.backlog = 30_000, 2, 200_000, 150_000
        options.idle_seconds, options.writes, options.no_document = 15, 300, True
    return options


@contextmanager
def _broker(directory: Path, jars: Path) -> Iterator[ApacheKafka]:
    home = directory / "kafka"
    home.mkdir()
    broker = ApacheKafka(home, jars=jars, options=())
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def _section(results: list[Result], facts: list[str], options: argparse.Namespace, *, command: str) -> str:
    rows = ["| " + " | ".join(result.cells()) + " |" for result in results]
    return "\n".join(
        [
            f"`{command}`: one relay, one Apache Kafka ({PARTITIONS} partitions) and Postgres on this machine.",
            "",
            *(f"- {line}" for line in facts),
            "",
            "| what | Sluice | beside it | figure | goal | |",
            "| --- | ---: | ---: | ---: | ---: | --- |",
            *rows,
            "",
            f"Throughput: {options.rounds} rounds of relay and bare loop in turn, the median of the rounds' ratios; "
            "events of about 400 bytes and 8 headers. The bare loop has the relay's settings of the client, no Django "
            "and no database: what it sends lies in its memory, and it looks at every delivery. The relay's time is "
            "from its claiming the lanes until the last position is saved. Latency: eight writers, together "
            "every 20 ms a transaction with one event, one in five rolled back; the broker notes when it has it. "
            "Beside the import another transaction stays open.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
