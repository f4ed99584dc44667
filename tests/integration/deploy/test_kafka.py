"""The broker of the manifests: what start.sh tells it, and that Kafka takes it."""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.apache_kafka import POM, apache_kafka_jars
from tests.integration.deploy.compose import services
from tests.integration.deploy.manifests import KUSTOMIZE, installation, renderer

FOLDER: Final = KUSTOMIZE / "base" / "kafka"


def started(tmp_path: Path, *, pod: str, brokers: int | None) -> dict[str, str]:
    """The settings of a broker in this pod, as Kafka's own start script gets them."""
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    for name in ("kafka-storage.sh", "kafka-server-start.sh"):
        (home / "bin" / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"$LOG_DIR/called"\n')
        (home / "bin" / name).chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "HOSTNAME": pod, "KAFKA_HOME": str(home), "LOG_DIR": str(tmp_path)}
    if brokers is not None:
        environment["KAFKA_BROKERS"] = str(brokers)
    environment["KAFKA_CLUSTER_ID"] = "c2x1aWNlLWV2ZW50cy0wMQ"
    done = subprocess.run(
        ["bash", str(FOLDER / "start.sh")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    formatted, begun = (tmp_path / "called").read_text().splitlines()
    settings = tmp_path / "server.properties"
    assert formatted.startswith("kafka-storage.sh format --ignore-formatted")
    assert begun == f"kafka-server-start.sh {settings}"
    lines = [line for line in settings.read_text().splitlines() if line and not line.startswith("#")]
    found = dict(line.split("=", 1) for line in lines)
    assert len(found) == len(lines), "a setting is there twice"
    return found


def test_a_broker_alone(tmp_path: Path) -> None:
    found = started(tmp_path, pod="kafka-0", brokers=None)
    assert found["node.id"] == "0"
    assert found["advertised.listeners"] == "BROKER://kafka-0.kafka:9092"
    assert found["controller.quorum.voters"] == "0@kafka-0.kafka:9093"
    assert found["default.replication.factor"] == found["min.insync.replicas"] == "1"
    assert found["auto.create.topics.enable"] == "false"


def test_one_of_three_brokers(tmp_path: Path) -> None:
    """One may be lost, and two still acknowledge."""
    found = started(tmp_path, pod="kafka-2", brokers=3)
    assert found["node.id"] == "2"
    assert found["advertised.listeners"] == "BROKER://kafka-2.kafka:9092"
    voters = "0@kafka-0.kafka:9093,1@kafka-1.kafka:9093,2@kafka-2.kafka:9093"
    assert found["controller.quorum.voters"] == voters
    copies = ("default.replication.factor", "offsets.topic.replication.factor")
    assert {found[name] for name in copies} == {"3"}
    assert found["min.insync.replicas"] == "2"


def test_kafka_takes_these_settings(tmp_path: Path) -> None:
    """Of the version that the image has, from the artifacts that the other tests run."""
    jars = apache_kafka_jars()
    written = started(tmp_path, pod="kafka-0", brokers=3)
    settings = {**written, "log.dirs": str(tmp_path / "data")}
    path = tmp_path / "formatted.properties"
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    command = ["java", "-cp", f"{jars}/*", "kafka.tools.StorageTool", "format"]
    done = subprocess.run(
        [*command, "--ignore-formatted", "--cluster-id", "c2x1aWNlLWV2ZW50cy0wMQ", "--config", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "node.id=0" in (tmp_path / "data/meta.properties").read_text()


def test_the_version_is_the_one_that_is_tested() -> None:
    (tested,) = re.findall(r"<artifactId>apache-kafka</artifactId>\s*<version>(.*?)</version>", POM.read_text())
    assert services()["kafka"]["image"] == f"docker.io/apache/kafka:{tested}"


@pytest.mark.skipif(renderer() is None, reason="neither kustomize 5 nor kubectl 1.27 is here")
def test_the_data_lie_on_the_volume() -> None:
    cluster = installation(KUSTOMIZE / "overlays" / "production")
    settings = cluster.one("ConfigMap", "kafka")["data"]["server.properties"]
    (data,) = [line.partition("=")[2] for line in settings.splitlines() if line.startswith("log.dirs=")]
    (volume,) = [
        mount["mountPath"] for mount in cluster.workload("kafka").container["volumeMounts"] if mount["name"] == "data"
    ]
    assert data.startswith(f"{volume}/")
