"""The manifests render, Kubernetes would accept them, and what we promise holds."""

import json
import re
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from django.urls import get_resolver

from tests.integration.deploy import checks
from tests.integration.deploy.manifests import (
    KUSTOMIZE,
    Document,
    Installation,
    installation,
    renderer,
    walk,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import kubernetes_validate

pytestmark = pytest.mark.skipif(
    renderer() is None, reason="neither kustomize 5 nor kubectl 1.27 is here; deploy/README.md says how to get one"
)

OVERLAYS: Final = sorted((KUSTOMIZE / "overlays").iterdir())
COMPONENTS: Final = sorted((KUSTOMIZE / "components").iterdir())
# `preStop: sleep` needs 1.30.
OLDEST: Final = "1.30"
VERSIONS: Final = (OLDEST, kubernetes_validate.latest_version())
# Of controllers; their schemas are not bundled.
CUSTOM_GROUPS: Final = ("gateway.networking.k8s.io/", "gateway.envoyproxy.io/", "traefik.io/")
# What machines ask, inside of the cluster.
NOT_FOR_THE_OUTSIDE: Final = {"healthz", "readyz", "metrics"}

overlays = pytest.mark.parametrize("folder", OVERLAYS, ids=lambda path: path.name)


@pytest.fixture
def with_component(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes an overlay of base and components, as somebody would."""

    def make(*components: str) -> Path:
        # Below the checkout, because kustomize takes relative folders only, and links count as where they lead.
        folder = tmp_path_factory.mktemp("overlay")
        link = folder / "kustomize"
        link.symlink_to(KUSTOMIZE)
        text = {
            "namespace": "sluice",
            "resources": [_relative(folder, KUSTOMIZE / "base")],
            "components": [_relative(folder, KUSTOMIZE / "components" / name) for name in components],
            "images": [{"name": "sluice", "newTag": "1"}],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(text))
        return folder

    return make


@overlays
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_every_document(folder: Path, version: str) -> None:
    assert _refused(installation(folder), version) == []


def test_kubernetes_would_refuse_a_misspelt_field() -> None:
    broken = installation(OVERLAYS[0])
    broken.workload("web").pod["terminationGracePeriodSecond"] = 60
    assert len(_refused(broken, OLDEST)) == 1


@overlays
@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
def test_nothing_is_wrong(folder: Path, check: Callable[[Installation], Any]) -> None:
    assert list(check(installation(folder))) == []


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda path: path.name)
def test_each_component_goes_with_the_base(component: Path, with_component: Callable[..., Path]) -> None:
    found = installation(with_component(component.name))
    assert _refused(found, VERSIONS[-1]) == []
    for check in (checks.mounts_have_volumes, checks.edges_are_open, checks.claims_are_shared_by_those_who_may):
        assert list(check(found)) == []
    if component.name.startswith(("ingress", "gateway")):
        assert list(checks.entrances_are_open(found)) == []


def test_with_a_gateway_there_is_no_ingress(with_component: Callable[..., Path]) -> None:
    found = installation(with_component("gateway-envoy"))
    assert found.of("Ingress") == []
    upload, usual = found.of("HTTPRoute")[0]["spec"]["rules"]
    assert upload["timeouts"] == {"request": "0s"}
    base = installation(with_component("ingress-haproxy"))
    for rule, name in ((upload, "web-uploads"), (usual, "web")):
        assert {match["path"]["value"] for match in rule["matches"]} == _served(base.one("Ingress", name))
        assert [each["name"] for each in rule["backendRefs"]] == [name]


def test_uploads_have_time_and_no_size(with_component: Callable[..., Path]) -> None:
    """Time-outs of the upload paths only."""
    found = installation(with_component("ingress-haproxy"))
    timeout = "haproxy.org/timeout-server"
    assert found.one("Service", "web-uploads")["metadata"]["annotations"][timeout] == "10m"
    assert timeout not in found.one("Service", "web")["metadata"].get("annotations", {})
    assert _served(found.one("Ingress", "web-uploads")) == {"/imports", "/uploads"}


def test_the_outside_reaches_what_it_may(with_component: Callable[..., Path]) -> None:
    """A new address must be listed in base/ingress.yaml (and for Envoy in components/gateway-envoy/gateway.yaml)."""
    found = installation(with_component("ingress-haproxy"))
    listed = {path.strip("/") for ingress in found.of("Ingress") for path in _served(ingress)}
    ours = {re.split(r"[/<]", route)[0] for route in walk(get_resolver().url_patterns)} - NOT_FOR_THE_OUTSIDE
    assert listed == ours | {"static"}


def test_cron_jobs_have_what_other_processes_have() -> None:
    """Two patches say the same, one level apart."""
    process, cron = (yaml.safe_load((KUSTOMIZE / "base" / name).read_text()) for name in (
        "process.yaml", "process-cron.yaml",
    ))  # fmt: skip
    expected, found = process["spec"]["template"], cron["spec"]["jobTemplate"]["spec"]["template"]
    expected["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "sluice"}}]
    assert found == expected


@overlays
def test_what_consumers_count_is_shown_where_their_port_says(folder: Path) -> None:
    consumer = installation(folder).workload("consumer").container
    (port,) = consumer["ports"]
    command = consumer["command"]
    assert (port["name"], str(port["containerPort"])) == ("metrics", command[command.index("--metrics-port") + 1])


def test_an_overlay_without_secrets_names_what_it_expects() -> None:
    production = installation(KUSTOMIZE / "overlays" / "production")
    assert production.of("Secret") == []
    named = {
        volume["secret"]["secretName"]
        for workload in production.workloads
        for volume in workload.volumes.values()
        if "secret" in volume
    }
    assert named == set(checks.GIVEN_SECRETS)


def test_a_changed_setting_rolls_out(tmp_path: Path) -> None:
    """The name of the settings is a hash of them, and it stands in every pod's template."""
    dev = KUSTOMIZE / "overlays" / "dev"
    name = installation(dev).one("ConfigMap", "sluice")["metadata"]["name"]
    assert re.fullmatch(r"sluice-[a-z0-9]{10}", name)
    for workload in installation(dev).ours:
        if workload.kind != "Job":
            assert workload.container["envFrom"] == [{"configMapRef": {"name": name}}]


def _refused(found: Installation, version: str) -> list[str]:
    """What Kubernetes of this version would not take, unknown fields among it."""
    refusals = [_refusal(json.dumps(document), version) for document in found.documents]
    return [refusal for refusal in refusals if refusal]


@cache
def _refusal(text: str, version: str) -> str:
    """Of one document. The same ones come again and again, and each reads all schemas."""
    document = json.loads(text)
    if document["apiVersion"].startswith(CUSTOM_GROUPS):
        return ""
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(map(str, error.path))
        return f"{document['kind']} {document['metadata']['name']}, {where}: {error.message}"
    return ""


def _served(ingress: Document) -> set[str]:
    return {path["path"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]}


def _relative(folder: Path, target: Path) -> str:
    return str(Path(*[".."] * (len(folder.resolve().parts) - 1)) / target.relative_to("/"))
