"""What the containers run exists, is the same everywhere, and reads the settings that it is given."""

import importlib.util
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from django.core.management import CommandError, get_commands, load_command_class
from dramatiq.cli import make_argument_parser

from tests import preloaded
from tests.integration.deploy.compose import our_services
from tests.integration.deploy.manifests import CHECKOUT, KUSTOMIZE, installation, renderer
from tools.up import COMMANDS

OVERLAYS: Final = sorted((KUSTOMIZE / "overlays").iterdir())
# What `make up` calls its processes, and what they are called here.
NAMES: Final = {"steps": "worker-steps", "small": "worker-small", "large": "worker-large"}
SAME: Final = ("web", "sweeper", "pruner", "relay", "consumer")
IN_COMPOSE: Final = NAMES | {name: name for name in SAME}
IN_KUBERNETES: Final = IN_COMPOSE | {"pruner": "prune-uploads"}
# Read by libpq, and by prometheus_client.
OF_LIBRARIES: Final = {"PGOPTIONS", "PGAPPNAME", "PROMETHEUS_MULTIPROC_DIR"}
MIGRATE: Final = ["manage.py", "migrate", "--no-input"]
TOPICS: Final = ["manage.py", "kafka_topics", "--create"]
SECRETS: Final = "/run/secrets/sluice/"

needs_renderer = pytest.mark.skipif(renderer() is None, reason="neither kustomize 5 nor kubectl 1.27 is here")


# `make up` shows all counters at the site's address: its processes share a directory of them.
ON_A_PORT: Final = ["--metrics-port", "8001"]


def test_compose_runs_what_make_up_runs() -> None:
    found = {name: service["command"] for name, service in our_services().items()}
    assert _plain(found.pop("migrate")) == MIGRATE
    assert _plain(found.pop("topics")) == TOPICS
    assert {name: _plain(command) for name, command in found.items()} == _expected(IN_COMPOSE)


@needs_renderer
@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda path: path.name)
def test_kubernetes_runs_what_make_up_runs(folder: Path) -> None:
    """The pruner is a CronJob here: it ends when it has pruned."""
    found = {each.name: _plain(each.container["command"]) for each in installation(folder).ours if each.kind != "Job"}
    expected = _expected(IN_KUBERNETES)
    assert expected["prune-uploads"][-2] == "--every"
    expected["prune-uploads"] = expected["prune-uploads"][:-2]
    assert found == expected
    assert [_plain(each["command"]) for each in installation(folder).migration.containers] == [MIGRATE, TOPICS]


@pytest.mark.parametrize("name", sorted(our_services()))
def test_commands_exist_with_their_options(name: str) -> None:
    command = _plain(our_services()[name]["command"])
    if command[0] == "manage.py":
        _parse_manage(command[1], command[2:])
    elif command[0] == "gunicorn":
        configuration, application = command[2:]
        assert (CHECKOUT / configuration).is_file()
        assert importlib.util.find_spec(application)
    else:
        assert command[0] == "dramatiq"
        options = make_argument_parser().parse_args(command[1:])  # type: ignore[no-untyped-call]
        assert importlib.util.find_spec(options.broker)


def test_an_unknown_option_of_a_command_is_noticed() -> None:
    with pytest.raises(CommandError, match="no-such-option"):
        _parse_manage("migrate", ["--no-such-option"])


def test_every_queue_has_a_worker() -> None:
    """Asked in a process of its own, because importing the module makes this one a worker."""
    code = "from config.worker import broker; print(*sorted(broker.get_declared_queues()))"
    done = preloaded.run(["-c", code], cwd=CHECKOUT, env=os.environ | {"SLUICE_LOCAL": "1"}, timeout=60)
    assert done.returncode == 0, done.stderr
    commands = [_plain(service["command"]) for service in our_services().values()]
    served = [command[command.index("-Q") + 1] for command in commands if "-Q" in command]
    assert sorted(served) == done.stdout.split()


def test_every_variable_of_compose_is_read_by_somebody() -> None:
    known = _known_variables()
    for name, service in our_services().items():
        assert set(_without_file(service.get("environment", {}))) <= known, name


@needs_renderer
@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda path: path.name)
def test_every_variable_of_the_pods_is_read_by_somebody(folder: Path) -> None:
    known, found = _known_variables(), installation(folder)
    for workload in found.ours:
        for container in workload.containers:
            assert set(_without_file(found.environment(container))) <= known, workload.name


def test_a_misspelt_variable_would_be_noticed() -> None:
    known = _known_variables()
    assert "DATABASE_URL" in known
    assert set(_without_file({"DATABASE_URI_FILE": "x"})) - known == {"DATABASE_URI"}


@needs_renderer
@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda path: path.name)
@pytest.mark.parametrize("name", ["web", "worker-large", "relay", "prune-uploads", "migrate"])
def test_the_settings_start_with_what_a_pod_gets(folder: Path, name: str, secrets: Path) -> None:
    found = installation(folder)
    workload = found.migration if name == "migrate" else found.workload(name)
    settings = _settings(found.environment(workload.container), secrets)
    assert settings["LOCAL"] is False
    assert settings["host"] == "postgres"
    assert settings["redis"].endswith("@redis-cache:6379/0")
    assert settings["tasks"].endswith("@redis-tasks:6379/0")
    assert settings["kafka"] == ["kafka:9092"]
    if name != "migrate":
        bucket = "sluice-uploads" if folder.name == "production" else ""
        assert (settings["bucket"], settings["key"]) == (bucket, "an-id" if bucket else None)


@needs_renderer
@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda path: path.name)
def test_django_finds_nothing_wrong_with_a_web_pod(folder: Path, secrets: Path) -> None:
    """`manage.py check --deploy`, as far as it judges settings."""
    found = installation(folder)
    environment = _environment(found.environment(found.workload("web").container), secrets)
    done = preloaded.run(["manage.py", "check", "--deploy"], cwd=CHECKOUT, env=environment, timeout=60)
    said = set(re.findall(r"\(((?:security|sluice)\.[A-Z]\d+)\)", done.stderr))
    # The ingress redirects to https.
    accepted = {"security.W008"}
    # Whether HSTS is for all of example.com is not for one of its sites to say; on one's own machine there is none.
    # One's own machine has no S3, but one volume that all pods mount.
    accepted |= {"security.W004", "sluice.W007"} if folder.name == "dev" else {"security.W005", "security.W021"}
    assert said == accepted, done.stderr


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder with the keys of the Secret `sluice`, made as the README says."""
    script = tmp_path / "make-secrets.sh"
    script.write_text((CHECKOUT / "deploy" / "make-secrets.sh").read_text())
    subprocess.run(["sh", str(script)], check=True)
    folder = tmp_path / "secrets" / "sluice"
    (folder / "UPLOADS_S3_ACCESS_KEY").write_text("an-id\n")
    (folder / "UPLOADS_S3_SECRET_KEY").write_text("a-key\n")
    return folder


def _settings(environment: dict[str, str], secrets: Path) -> dict[str, Any]:
    code = (
        "import json; from django.conf import settings as s\n"
        "print(json.dumps({'LOCAL': s.LOCAL, 'host': s.DATABASES['default']['HOST'], 'redis': s.REDIS_URL,"
        " 'tasks': s.TASKS_REDIS_URL, 'kafka': s.KAFKA_BOOTSTRAP_SERVERS, 'bucket': s.UPLOADS_S3_BUCKET,"
        " 'key': s.STORAGES['uploads']['OPTIONS'].get('access_key')}))"
    )
    done = preloaded.run(["-c", code], cwd=CHECKOUT, env=_environment(environment, secrets), timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _environment(environment: dict[str, str], secrets: Path) -> dict[str, str]:
    """Of a process in a pod, on this machine: nothing of ours but what the image and the manifest say."""
    given = {name: value.replace(SECRETS, f"{secrets}/") for name, value in environment.items()}
    image = {"SLUICE_LOCAL": "0", "DJANGO_SETTINGS_MODULE": "config.settings", "PATH": os.environ["PATH"]}
    metrics = {"PROMETHEUS_MULTIPROC_DIR": str(secrets)} if "PROMETHEUS_MULTIPROC_DIR" in given else {}
    return {**image, **given, **metrics}


def _plain(command: list[str]) -> list[str]:
    """Without what starts Python: `python -m dramatiq …` and `dramatiq …` are the same."""
    words = command[1:] if command[0] == "python" else command
    return list(words[1:] if words[0] == "-m" else words)


def _expected(names: dict[str, str]) -> dict[str, list[str]]:
    """By our names; with one process in each container, where `make up` has as many as there are processors."""
    assert set(names) == set(COMMANDS)
    found = {names[name]: _plain(list(command)) for name, command in COMMANDS.items()}
    for command in found.values():
        if "-p" in command:
            command[command.index("-p") + 1] = "1"
    found["consumer"] += ON_A_PORT
    return found


def _parse_manage(name: str, arguments: list[str]) -> None:
    command = load_command_class(get_commands()[name], name)
    command.create_parser("manage.py", name).parse_args(arguments)


def _without_file(names: dict[str, Any]) -> Iterator[str]:
    """DATABASE_URL_FILE is DATABASE_URL, read from a file."""
    return (name.removesuffix("_FILE") for name in names)


def _known_variables() -> set[str]:
    """The variables that the readers of config/env.py are asked for anywhere in our code."""
    read = re.compile(r"env_(?:str|int|float|bool|list)\(\s*\"([A-Z0-9_]+)\"")
    found = set(OF_LIBRARIES)
    for folder in ("config", "accounts", "orders", "ingestion", "reports"):
        for path in (CHECKOUT / folder).rglob("*.py"):
            found.update(read.findall(path.read_text(encoding="utf-8")))
    return found
