"""Relays as processes, and what they left on the broker."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from tests.broker_process import BrokerProcess
from tests.conftest import Manage
from tests.preloaded import Forked
from tests.serving import start_logged

SECONDS: Final = 120.0


@dataclass(frozen=True)
class Sent:
    """An event as a consumer sees it."""

    id: str
    key: str
    version: int
    partition: int
    offset: int
    value: bytes
    headers: dict[str, bytes]


class Relays:
    """
    Relays on the test's database and a broker's topics with a prefix, and a reader of these topics.

    Args:
        environment: variables to add, for all of them.
    """

    def __init__(self, manage: Manage, broker: BrokerProcess, prefix: str, **environment: str) -> None:
        self.broker, self.prefix = broker, prefix
        self._manage = manage
        self.environment = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
            "KAFKA_TOPIC_PREFIX": prefix,
            "KAFKA_REPLICATION_FACTOR": "1",
            "LOG_LEVEL": "INFO",
            "LOG_JSON": "1",
            **environment,
        }
        self._started: list[Forked] = []

    def once(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Send everything that is there."""
        return self._manage(
            "relay_outbox", "--once", "--create-topics", *arguments, env=self.environment, timeout=SECONDS
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command with the same variables."""
        return self._manage(*arguments, env=self.environment, timeout=SECONDS)

    def start(self, **environment: str) -> Forked:
        """Start a relay that runs until it is told to end, by `end` at the latest."""
        variables = {**self._manage.environment, **self.environment, **environment}
        command = ["manage.py", "relay_outbox", "--create-topics"]
        self._started.append(start_logged(command, variables, self._manage.directory / "relay.log"))
        return self._started[-1]

    def end(self) -> None:
        """SIGKILL those that still run."""
        for process in self._started:
            process.send_signal(signal.SIGKILL)
            process.wait(10)

    def _all_ended(self) -> bool:
        return bool(self._started) and all(process.poll() is not None for process in self._started)

    def log(self) -> str:
        """What all of them have said."""
        path = self._manage.directory / "relay.log"
        return path.read_text() if path.exists() else ""

    def read(self, topic: str = "sluice.orders.v1") -> list[Sent]:
        """All events of a topic by now, each partition in its order."""
        return [_sent(record) for record in read_records(self.broker, f"{self.prefix}{topic}")]

    def wait_for(self, ids: Sequence[str], *, minding: Sequence["Supervised"] = ()) -> list[Sent]:
        """All events of orders, when these are among them; relays that end meanwhile are started again."""
        found: list[Sent] = []

        def there() -> bool:
            nonlocal found
            for relay in minding:
                relay.mind()
            assert not self._all_ended(), f"no relay runs any more\n{self.log()[-4000:]}"
            try:
                found = self.read()
            except (KafkaError, OSError):
                return False
            return {event.id for event in found} >= set(ids)

        wait_until(there, lambda: f"{len(found)} events of {len(ids)}\n{self.log()[-4000:]}")
        return found


def read_records(broker: BrokerProcess, topic: str) -> list[Any]:
    """
    All records of a topic by now; none if it does not exist.

    They are read up to a mark that is put behind them, because the embedded broker does not know where its topics end.
    """
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=None, metrics_enabled=False)
    try:
        places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        if not places:
            return []
        mark = uuid4().bytes
        _put(broker, places, mark)
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        found: list[Any] = []
        open_places = set(places)
        until = time.monotonic() + SECONDS
        while open_places:
            assert time.monotonic() < until, f"the ends of {open_places} were not read"
            for place, records in consumer.poll(timeout_ms=500).items():
                found += [record for record in records if record.headers]
                if any(record.value == mark for record in records):
                    open_places.discard(place)
        return found
    finally:
        consumer.close()


def _put(broker: BrokerProcess, places: Sequence[TopicPartition], mark: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, metrics_enabled=False)
    try:
        for future in [producer.send(place.topic, mark, partition=place.partition) for place in places]:
            future.get(SECONDS)
    finally:
        producer.close()


class Supervised:
    """A relay that is started again whenever it ends, as Kubernetes would. `mind` is to be called while waiting."""

    def __init__(self, relays: Relays, **environment: str) -> None:
        self._relays, self._environment = relays, environment
        self.starts = 0
        self.ends: list[int] = []
        self.process = self._start()

    def _start(self) -> Forked:
        self.starts += 1
        return self._relays.start(**self._environment)

    def mind(self) -> None:
        """Start it again if it has ended."""
        status = self.process.poll()
        if status is not None:
            self.ends.append(status)
            self.process = self._start()

    def kill(self) -> None:
        """SIGKILL, and start it again."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.mind()


def wait_until(
    true: Callable[[], bool], otherwise: Callable[[], str] = lambda: "", *, seconds: float = SECONDS
) -> None:
    """Ask again and again; fails with what `otherwise` says after so long."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, otherwise()
        time.sleep(0.1)


def first_versions(events: Sequence[Sent]) -> dict[str, list[int]]:
    """Of each order the versions in the order in which they first appeared; all versions of one share a partition."""
    places: dict[str, int] = {}
    found: dict[str, list[int]] = {}
    for event in sorted(events, key=lambda event: (event.partition, event.offset)):
        assert places.setdefault(event.key, event.partition) == event.partition, f"{event.key} is in two partitions"
        versions = found.setdefault(event.key, [])
        if event.version not in versions:
            versions.append(event.version)
    return found


def _sent(record: Any) -> Sent:
    headers = dict(record.headers)
    event_id = headers["ce_id"].decode()
    return Sent(
        id=event_id,
        key=headers["ce_subject"].decode(),
        version=int(event_id.rsplit(":", 1)[1]) if event_id.rsplit(":", 1)[1].isdigit() else 0,
        partition=record.partition,
        offset=record.offset,
        value=record.value,
        headers=headers,
    )


def numbered(prefix: str, count: int) -> Iterator[str]:
    """Ids of orders."""
    return (f"{prefix}{number}" for number in range(count))
