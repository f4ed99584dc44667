"""The compose file hangs together, and says what the cluster's manifests say."""

import re
import shutil
import subprocess
from typing import Any, Final

import pytest
import yaml

from tests.integration.deploy.checks import ENDING_SECONDS, WORKER_SECONDS
from tests.integration.deploy.compose import COMPOSE, compose, our_services, services
from tests.integration.deploy.manifests import DEPLOY, KUSTOMIZE, installation, renderer

# https://github.com/compose-spec/compose-spec: what we use of it. An unknown name is a slip of the pen.
KNOWN: Final = {
    "build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "hostname", "image", "networks",
    "ports", "read_only", "restart", "secrets", "security_opt", "shm_size", "stop_grace_period", "tmpfs", "user",
    "volumes",
}  # fmt: skip
CONDITIONS: Final = {"service_healthy", "service_completed_successfully"}


def test_only_known_names_are_used() -> None:
    top = {name for name in compose() if not name.startswith("x-")}
    assert top == {"name", "services", "networks", "volumes", "secrets"}
    for name, service in services().items():
        assert set(service) <= KNOWN, name


def test_what_is_named_is_declared() -> None:
    for name, service in services().items():
        assert set(service["networks"]) <= set(compose()["networks"]), name
        assert {each["source"] for each in service.get("secrets", [])} <= set(compose()["secrets"]), name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            declared = (DEPLOY / source).is_file() if source.startswith(".") else source in compose()["volumes"]
            assert declared, volume
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] in CONDITIONS
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services()[other], f"{name} waits for ever for {other}"


def test_secrets_are_files_that_the_script_makes(tmp_path: Any) -> None:
    script = tmp_path / "make-secrets.sh"
    script.write_text((DEPLOY / "make-secrets.sh").read_text())
    subprocess.run(["sh", str(script)], check=True)
    for secret in compose()["secrets"].values():
        assert (tmp_path / secret["file"]).read_text().strip(), secret


def test_variables_with_paths_name_mounted_secrets() -> None:
    for name, service in services().items():
        targets = {each["target"] for each in service.get("secrets", [])}
        named = {value for key, value in service.get("environment", {}).items() if key.endswith("_FILE")}
        assert named <= targets, name


def test_nothing_starts_before_the_migrations() -> None:
    for name, service in our_services().items():
        waits = service["depends_on"]
        if name == "migrate":
            assert waits == {"postgres": {"condition": "service_healthy"}}
        else:
            assert waits["migrate"] == {"condition": "service_completed_successfully"}


def test_what_dies_is_started_again() -> None:
    for name, service in services().items():
        ends = name in ("migrate", "topics")
        assert service["restart"] == ("on-failure" if ends else "unless-stopped"), name


def test_processes_may_do_little() -> None:
    for name, service in services().items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if name != "postgres":  # its image starts as root and gives that up
            assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
    assert compose()["networks"]["back"] == {"internal": True}
    assert [name for name, service in services().items() if "front" in service["networks"]] == ["web"]
    assert services()["web"]["ports"] == ["127.0.0.1:${SLUICE_PORT:-8000}:8000"]


def test_processes_have_the_time_to_end() -> None:
    for name in ("worker-steps", "worker-small", "worker-large", "sweeper", "relay", "consumer"):
        assert _seconds(services()[name]["stop_grace_period"]) >= WORKER_SECONDS + ENDING_SECONDS
    # Of config/gunicorn.py, unless WEB_GRACEFUL_SECONDS is set, which it is not.
    assert "WEB_GRACEFUL_SECONDS" not in services()["web"]["environment"]
    text = (DEPLOY.parent / "config" / "gunicorn.py").read_text()
    (graceful,) = re.findall(r'env_int\("WEB_GRACEFUL_SECONDS", (\d+)\)', text)
    assert _seconds(services()["web"]["stop_grace_period"]) >= int(graceful) + ENDING_SECONDS


@pytest.mark.skipif(renderer() is None, reason="neither kustomize 5 nor kubectl 1.27 is here")
def test_servers_are_those_of_the_cluster() -> None:
    cluster = installation(KUSTOMIZE / "overlays" / "dev")
    for name in ("postgres", "redis-cache", "redis-tasks", "kafka"):
        container = cluster.workload(name).container
        assert services()[name]["image"] == container["image"]
        assert services()[name]["command"] == container.get("command", container.get("args"))
        check = container["readinessProbe"]["exec"]["command"]
        assert services()[name]["healthcheck"]["test"] == ["CMD", *check]


@pytest.mark.skipif(renderer() is None, reason="neither kustomize 5 nor kubectl 1.27 is here")
def test_the_broker_is_set_up_as_in_the_cluster() -> None:
    """One broker, which other processes reach by the name that it tells them."""
    cluster = installation(KUSTOMIZE / "overlays" / "dev")
    environment = cluster.environment(cluster.workload("kafka").container)
    assert services()["kafka"]["environment"] == {
        name: value for name, value in environment.items() if name != "KAFKA_BROKERS"
    }
    assert environment["KAFKA_BROKERS"] == "1"
    assert services()["kafka"]["networks"]["back"]["aliases"] == ["kafka-0.kafka"]
    assert services()["kafka"]["hostname"] == "kafka-0"
    for name in ("relay", "consumer"):
        assert services()[name]["command"] == cluster.workload(name).container["command"]
        assert services()[name]["depends_on"]["topics"] == {"condition": "service_completed_successfully"}


def test_docker_compose_understands_it() -> None:
    if not _has_docker_compose():
        pytest.skip("docker compose is not installed")
    done = subprocess.run(
        ["docker", "compose", "-f", str(COMPOSE), "config", "--format", "yaml"], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == set(services())


def _has_docker_compose() -> bool:
    docker = shutil.which("docker")
    return (
        bool(docker)
        and subprocess.run([str(docker), "compose", "version"], capture_output=True, check=False).returncode == 0
    )


def _seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()  # type: ignore[union-attr]
    return int(number) * (60 if unit == "m" else 1)
