"""Rendered manifests, and what the tests ask of them."""

import copy
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

CHECKOUT: Final = Path(__file__).resolve().parents[3]
DEPLOY: Final = CHECKOUT / "deploy"
KUSTOMIZE: Final = DEPLOY / "kustomize"
WITH_PODS: Final = ("Deployment", "StatefulSet", "Job", "CronJob")
OLDEST_KUBECTL: Final = 27  # of 1.x: embeds kustomize 5
OUR_IMAGE: Final = "sluice"

Document = dict[str, Any]
# The one in C is many times faster.
SafeLoader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Workload:
    """Something that makes pods."""

    document: Document

    @property
    def kind(self) -> str:
        return str(self.document["kind"])

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def spec(self) -> Document:
        """Of the Deployment, StatefulSet or Job (for a CronJob that of its Jobs)."""
        spec: Document = self.document["spec"]
        return spec["jobTemplate"]["spec"] if self.kind == "CronJob" else spec

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.spec["template"]["metadata"]["labels"])

    @property
    def pod(self) -> Document:
        pod: Document = self.spec["template"]["spec"]
        return pod

    @property
    def container(self) -> Document:
        """The only one beside init containers."""
        (container,) = self.pod["containers"]
        return dict(container)

    @property
    def containers(self) -> list[Document]:
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    @property
    def volumes(self) -> dict[str, Document]:
        return {volume["name"]: volume for volume in self.pod.get("volumes", [])}

    @property
    def is_ours(self) -> bool:
        """Whether it runs our image, and not a server's."""
        return image_name(self.container["image"]) == OUR_IMAGE

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Installation:
    """All documents of one rendered folder."""

    def __init__(self, documents: list[Document]) -> None:
        self.documents = documents

    def of(self, kind: str) -> list[Document]:
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind: str, name: str) -> Document:
        """The document; generated ones by their name without the hash."""
        pattern = re.compile(rf"{re.escape(name)}(-[a-z0-9]{{10}})?")
        (found,) = [each for each in self.of(kind) if pattern.fullmatch(each["metadata"]["name"])]
        return found

    @property
    def workloads(self) -> list[Workload]:
        return [Workload(document) for document in self.documents if document["kind"] in WITH_PODS]

    @property
    def ours(self) -> list[Workload]:
        """Those of our own image."""
        return [workload for workload in self.workloads if workload.is_ours]

    def workload(self, name: str) -> Workload:
        (found,) = [workload for workload in self.workloads if workload.name == name]
        return found

    @property
    def migration(self) -> Workload:
        """The Job of migrations, whatever it is called here."""
        (found,) = [workload for workload in self.workloads if workload.kind == "Job"]
        return found

    def selected(self, selector: Document) -> list[Workload]:
        return [workload for workload in self.workloads if matches(selector, workload.labels)]

    def environment(self, container: Document) -> dict[str, str]:
        """What a container's process finds in its environment, by its manifest."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            (config,) = [
                each for each in self.of("ConfigMap") if each["metadata"]["name"] == source["configMapRef"]["name"]
            ]
            found |= config["data"]
        return found | {each["name"]: each["value"] for each in container.get("env", [])}


def matches(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a label selector (`matchLabels` only; an empty one matches all) selects these labels."""
    assert set(selector) <= {"matchLabels"}, f"{selector} has more than matchLabels"
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def image_name(image: str) -> str:
    """`registry:5000/team/name:tag@digest` → `name`."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def megabytes(text: str) -> float:
    """`512Mi`, `1Gi` (Kubernetes), `512MB`, `4GB` (Postgres), `192mb` (Valkey) in MiB."""
    number, unit = re.fullmatch(r"(\d+)\s*([KMGkmg])[iB]?b?", text).groups()  # type: ignore[union-attr]
    return int(number) * {"k": 1 / 1024, "m": 1, "g": 1024}[unit.lower()]


def cores(text: str) -> float:
    return int(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


@cache
def renderer() -> tuple[str, ...] | None:
    """The command that renders a folder: kustomize 5, or a kubectl that embeds it; None when neither is here."""
    go = Path(os.environ.get("GOPATH", Path.home() / "go")) / "bin"
    kustomize = shutil.which("kustomize") or shutil.which("kustomize", path=str(go))
    if kustomize and "v5." in _output(kustomize, "version"):
        return (kustomize, "build")
    kubectl = shutil.which("kubectl")
    if kubectl:
        version = json.loads(_output(kubectl, "version", "--client", "--output=json"))["clientVersion"]
        if int(version["minor"].strip("+")) >= OLDEST_KUBECTL:
            return (kubectl, "kustomize")
    return None


def installation(folder: Path) -> Installation:
    """A rendered folder; a copy of the test's own, which it may break."""
    return Installation(copy.deepcopy(_rendered(folder)))


@cache
def _rendered(folder: Path) -> list[Document]:
    command = renderer()
    assert command is not None
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.load_all(done.stdout, Loader=SafeLoader) if document]


def walk(patterns: Iterable[Any], prefix: str = "") -> Iterator[str]:
    """All addresses of Django's URL patterns, as routes."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from walk(pattern.url_patterns, route)
        else:
            yield route


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
