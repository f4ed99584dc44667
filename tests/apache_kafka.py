"""
A real Apache Kafka (KRaft, one process) from its Maven artifacts, and the embedded broker, for tests that break them.

    def test_something(apache_kafka, kafka_prefix):
        apache_kafka.bootstrap, apache_kafka.freeze(), .thaw(), .kill(), .start()

One broker of each kind at most in a test process, started when a test first asks. Each test gets it running, with
whatever earlier tests left in it: use `kafka_prefix` before the names of topics and groups. The jars (43 MB) are
fetched once into a directory of the person's cache; without java or mvn the tests are skipped.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from config.embedded.place import home_directory, place_open
from config.embedded.programs import kafka_program
from tests.broker_process import BrokerProcess
from tests.serving import free_port

POM: Final = Path(__file__).with_name("apache_kafka.pom.xml")
FETCH_SECONDS: Final = 600
CLUSTER_ID: Final = "c2x1aWNlLXRlc3RzLWthZg"
"""Any UUID in base64."""

QUICK_START: Final = ("-XX:TieredStopAtLevel=1",)
"""Of java: compile once and badly; for tests, which end before it would pay to do better."""

PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={directory}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
group.coordinator.rebalance.protocols=classic,consumer
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=300
controller.quorum.election.backoff.max.ms=300
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
"""

LOGGING: Final = """\
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c %m%n
"""


class ApacheKafka(BrokerProcess):
    """
    Args:
        directory: for its data, its configuration and its log.
        jars: the folder with Kafka and what it depends on.
        options: of java.
    """

    def __init__(self, directory: Path, *, jars: Path, options: Sequence[str] = QUICK_START) -> None:
        super().__init__(directory, port=free_port())
        self._jars = jars
        self._options = options
        ports = {"port": self.port, "controller_port": free_port()}
        self._properties = directory / "server.properties"
        self._properties.write_text(PROPERTIES.format(directory=directory, **ports))
        (directory / "log4j2.properties").write_text(LOGGING)
        self._format()

    def command(self) -> list[str]:
        return self._java("kafka.Kafka", str(self._properties))

    def _format(self) -> None:
        done = subprocess.run(
            self._java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._properties)),
            cwd=self.directory, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"Kafka's storage cannot be formatted:\n{done.stdout}{done.stderr}")

    def _java(self, *arguments: str) -> list[str]:
        return [
            "java", "-Xmx384m", "-Xms128m", "-XX:+UseSerialGC", "-XX:-UsePerfData", *self._options,
            f"-Dlog4j2.configurationFile={self.directory / 'log4j2.properties'}",
            "-cp", f"{self._jars}/*", *arguments,
        ]  # fmt: skip


class EmbeddedKafka(BrokerProcess):
    """The broker that local mode runs (Tansu), but for these tests alone. It forgets everything when it ends."""

    keeps_data = False

    def command(self) -> list[str]:
        address = f"tcp://{self.bootstrap}"
        program = str(kafka_program(place_open(home_directory())))
        return [
            program, "broker", "--listener-url", address, "--advertised-listener-url", address,
            "--storage-engine", "memory://tansu/",
        ]  # fmt: skip


@pytest.fixture(scope="session")
def _apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    broker = ApacheKafka(tmp_path_factory.mktemp("apache-kafka"), jars=apache_kafka_jars())
    yield broker
    broker.kill()
    shutil.rmtree(broker.directory, ignore_errors=True)


@pytest.fixture(scope="session")
def _embedded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    broker = EmbeddedKafka(tmp_path_factory.mktemp("embedded-kafka"), port=free_port())
    yield broker
    broker.kill()


@pytest.fixture
def apache_kafka(_apache_kafka: ApacheKafka) -> Iterator[ApacheKafka]:
    """A running Apache Kafka; skips where there is no java or mvn."""
    _apache_kafka.mend()
    yield _apache_kafka
    _apache_kafka.thaw()


@pytest.fixture
def embedded_kafka(_embedded_kafka: EmbeddedKafka) -> Iterator[EmbeddedKafka]:
    """The broker of local mode, running, known to this test process only."""
    _embedded_kafka.mend()
    yield _embedded_kafka
    _embedded_kafka.thaw()


@pytest.fixture(params=["apache", "embedded"])
def broker(request: pytest.FixtureRequest) -> BrokerProcess:
    """Both in turn."""
    found: Any = request.getfixturevalue(f"{request.param}_kafka")
    assert isinstance(found, BrokerProcess)
    return found


@pytest.fixture(scope="session")
def _prefixes() -> Iterator[str]:
    return (f"t{os.getpid()}-{number}-" for number in count(1))


@pytest.fixture
def kafka_prefix(_prefixes: Iterator[str]) -> str:
    """A KAFKA_TOPIC_PREFIX that no other test has; put it before consumer groups, too."""
    return next(_prefixes)


def apache_kafka_jars() -> Path:
    """The folder with its jars, fetched if need be; skips where that cannot be."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: no Apache Kafka to test with")
    version = re.search(r"<artifactId>apache-kafka</artifactId>\s*<version>(.*?)</version>", POM.read_text())
    assert version is not None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice-tests"
    cache.mkdir(parents=True, exist_ok=True)
    jars = cache / f"apache-kafka-{version[1]}"
    with (cache / "lock").open("a") as lock:  # test processes side by side: one fetches
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.exists():
            _fetch(jars)
    return jars


def _fetch(jars: Path) -> None:
    draft = jars.with_suffix(".part")
    shutil.rmtree(draft, ignore_errors=True)
    done = subprocess.run(
        [
            "mvn", "--quiet", "--batch-mode", "--file", str(POM), "dependency:copy-dependencies",
            f"-DoutputDirectory={draft}", "-DincludeScope=runtime",
        ],
        cwd=jars.parent, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        pytest.skip(f"mvn cannot fetch Apache Kafka: {lines[0] if lines else done.returncode}")
    draft.rename(jars)
