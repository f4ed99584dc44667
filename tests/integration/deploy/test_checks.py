"""Each check of `checks.py` notices what it is for: ways to break an installation, and what is said."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.integration.deploy import checks
from tests.integration.deploy.manifests import KUSTOMIZE, Installation, installation, renderer

pytestmark = pytest.mark.skipif(renderer() is None, reason="neither kustomize 5 nor kubectl 1.27 is here")


def _container(name: str, **changes: Any) -> Callable[[Installation], None]:
    return lambda found: found.workload(name).pod["containers"][0].update(changes)


def _pod(name: str, **changes: Any) -> Callable[[Installation], None]:
    return lambda found: found.workload(name).pod.update(changes)


def _spec(name: str, **changes: Any) -> Callable[[Installation], None]:
    return lambda found: found.workload(name).spec.update(changes)


def _label(name: str, key: str, value: str | None) -> Callable[[Installation], None]:
    def change(found: Installation) -> None:
        labels = found.workload(name).spec["template"]["metadata"]["labels"]
        labels.pop(key, None)
        if value is not None:
            labels[key] = value

    return change


def _setting(kind: str, name: str, *path: str, value: Any) -> Callable[[Installation], None]:
    def change(found: Installation) -> None:
        target = found.one(kind, name)
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value

    return change


def _remove(kind: str, name: str) -> Callable[[Installation], None]:
    return lambda found: found.documents.remove(found.one(kind, name))


def _double(kind: str, name: str) -> Callable[[Installation], None]:
    return lambda found: found.documents.append(found.one(kind, name))


def _rename_job(found: Installation) -> None:
    found.migration.document["metadata"]["name"] = "migrate-0.0.9"


def _job_reads_settings(found: Installation) -> None:
    name = found.one("ConfigMap", "sluice")["metadata"]["name"]
    found.migration.pod["containers"][0]["envFrom"] = [{"configMapRef": {"name": name}}]


def _open_postgres(found: Installation) -> None:
    policy = found.one("NetworkPolicy", "to-postgres")["spec"]
    policy["podSelector"] = {}
    found.one("NetworkPolicy", "postgres-from-processes")["spec"]["ingress"] = [
        {"from": [{"podSelector": {}}], "ports": [{"port": 5432}]}
    ]


def _shared_claims(found: Installation) -> None:
    found.one("ConfigMap", "sluice")["data"]["UPLOADS_S3_BUCKET"] = ""


def _metrics_elsewhere(found: Installation) -> None:
    found.workload("web").pod["initContainers"][0]["env"][0]["value"] = "/run/elsewhere"


def _two_brokers(found: Installation) -> None:
    found.workload("kafka").spec["replicas"] = 2
    found.workload("kafka").pod["containers"][0]["env"][0]["value"] = "2"


def _topics_elsewhere(found: Installation) -> None:
    for each in found.migration.pod["containers"][0]["env"]:
        if each["name"] == "KAFKA_BOOTSTRAP_SERVERS":
            each["value"] = "elsewhere:9092"


OVERLAY: Final = KUSTOMIZE / "overlays" / "production"
NO_LOG: Final = "appendonly no\nmaxmemory 1gb\nmaxmemory-policy noeviction\n"
ALL_BUFFERS: Final = "shared_buffers = 9GB\n"
FOREIGN: Final = "other.example.com"
BREAKAGES: Final = [
    (checks.pods_are_restricted, _pod("web", automountServiceAccountToken=True), "token"),
    (checks.pods_are_restricted, _pod("sweeper", securityContext={"runAsUser": 0}), "as root"),
    (checks.pods_are_restricted, _pod("prune-uploads", hostNetwork=True), "host"),
    (checks.pods_are_restricted, _container("postgres", securityContext={}), "capabilities"),
    (checks.containers_have_resources, _container("web", resources={}), "requests"),
    (
        checks.containers_have_resources,
        _container("web", resources={"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "1Gi"}}),
        "more than",
    ),
    (checks.images_are_named, _container("redis-cache", image="valkey/valkey:latest"), "anything"),
    (checks.images_are_named, _container("redis-cache", image="registry:5000/valkey"), "anything"),
    (checks.images_are_named, _container("web", image="registry.example.com/sluice:0.2.0"), "different"),
    (checks.migrations_are_named_after_the_image, _rename_job, "not named"),
    (checks.migrations_are_named_after_the_image, _job_reads_settings, "refuses"),
    (checks.processes_wait_for_migrations, _pod("worker-large", initContainers=[]), "before"),
    (checks.servers_have_probes, _container("web", livenessProbe={}), "livenessProbe"),
    (
        checks.servers_have_probes,
        _container("web", readinessProbe={"httpGet": {"path": "/healthz", "port": "http"}, "timeoutSeconds": 4}),
        "asked by",
    ),
    (checks.selectors_match, _label("web", "app.kubernetes.io/component", "site"), "Service web"),
    (checks.selectors_match, _label("worker-small", "app.kubernetes.io/component", "worker-large"), "worker-large"),
    (checks.deployments_have_budgets, _remove("PodDisruptionBudget", "web"), "all its pods"),
    (
        checks.deployments_have_budgets,
        _setting("PodDisruptionBudget", "web", "spec", "maxUnavailable", value=0),
        "node",
    ),
    (checks.rollouts_lose_nobody, _spec("web", strategy={}), "rolls out"),
    (checks.rollouts_lose_nobody, _pod("worker-large", topologySpreadConstraints=[{}]), "one node"),
    (checks.graces_are_long_enough, _pod("web", terminationGracePeriodSeconds=49), "fit"),
    (checks.graces_are_long_enough, _container("web", lifecycle={}), "proxies"),
    (checks.graces_are_long_enough, _pod("worker-large", terminationGracePeriodSeconds=30), "killed"),
    (checks.mounts_have_volumes, _pod("sweeper", volumes=[]), "mounts"),
    (
        checks.mounts_have_volumes,
        _setting("ConfigMap", "sluice", "data", "SECRET_KEY_FILE", value="/run/secrets/x"),
        "there",
    ),
    (checks.claims_are_shared_by_those_who_may, _shared_claims, "no other pod"),
    (checks.written_places_are_mounted, _container("web", volumeMounts=[]), "/tmp"),
    (checks.written_places_are_mounted, _metrics_elsewhere, "/run/elsewhere"),
    (checks.uploads_fit_on_their_way, _setting("ConfigMap", "sluice", "data", "WEB_THREADS", value="64"), "do not fit"),
    (checks.servers_stand_alone, _spec("postgres", replicas=2), "of its own"),
    (checks.servers_stand_alone, _setting("Service", "postgres", "spec", "clusterIP", value="10.0.0.1"), "headless"),
    (checks.brokers_agree, _spec("kafka", replicas=5), "each of which knows of 3"),
    (checks.brokers_agree, _two_brokers, "no more may fail"),
    (
        checks.brokers_agree,
        _setting("ConfigMap", "sluice", "data", "KAFKA_REPLICATION_FACTOR", value="1"),
        "copies on 3 brokers",
    ),
    (checks.brokers_agree, _topics_elsewhere, "its KAFKA_BOOTSTRAP_SERVERS is elsewhere"),
    (checks.brokers_agree, _spec("kafka", podManagementPolicy="OrderedReady"), "not started"),
    (
        checks.brokers_agree,
        _setting("Service", "kafka", "spec", "publishNotReadyAddresses", value=False),
        "find each other",
    ),
    (checks.servers_stand_alone, _spec("kafka", volumeClaimTemplates=[]), "kafka: loses"),
    (checks.deployments_have_budgets, _remove("PodDisruptionBudget", "kafka"), "kafka: a drained node"),
    (checks.autoscalers_own_the_number, _spec("web", replicas=2), "undoes"),
    (
        checks.servers_have_the_memory,
        _setting("ConfigMap", "postgres", "data", "overlay.conf", value=ALL_BUFFERS),
        "buffers",
    ),
    (checks.servers_have_the_memory, _setting("ConfigMap", "redis", "data", "tasks.conf", value=NO_LOG), "redis-tasks"),
    (
        checks.servers_have_the_memory,
        _container("kafka", resources={"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi", "cpu": "1"}}),
        "heap of 1g",
    ),
    (checks.connections_fit, _spec("worker-large", replicas=60), "wanted"),
    (checks.edges_are_open, _remove("NetworkPolicy", "to-kafka"), "relay → kafka, 9092: closed"),
    (checks.edges_are_open, _remove("NetworkPolicy", "brokers-from-brokers"), "kafka → kafka, 9093: closed"),
    (checks.edges_are_open, _label("web", "sluice/reaches-kafka", "true"), "web → kafka, 9092: open without need"),
    (checks.edges_are_open, _label("relay", "sluice/reaches-storage", "true"), "relay → the bucket: open"),
    (checks.edges_are_open, _remove("NetworkPolicy", "to-redis-tasks"), "web → redis-tasks: closed"),
    (checks.edges_are_open, _remove("NetworkPolicy", "postgres-from-processes"), "sweeper → postgres: closed"),
    (checks.edges_are_open, _remove("NetworkPolicy", "default-deny"), "default"),
    (checks.edges_are_open, _remove("NetworkPolicy", "everybody-to-dns"), "names"),
    (checks.edges_are_open, _label("worker-steps", "sluice/reaches-storage", None), "bucket: closed"),
    (checks.edges_are_open, _open_postgres, "open without need"),
    (checks.entrances_are_open, _remove("NetworkPolicy", "web-from-ingress"), "let them in"),
    (checks.hosts_are_one, _setting("ConfigMap", "sluice", "data", "ALLOWED_HOSTS", value=FOREIGN), "serves"),
    (checks.names_are_unique, _double("Service", "web"), "twice"),
]


@pytest.mark.parametrize(
    ("check", "break_it", "said"), BREAKAGES, ids=[f"{check.__name__}-{said}" for check, _, said in BREAKAGES]
)
def test_the_checks_notice(
    check: Callable[[Installation], Any], break_it: Callable[[Installation], None], said: str
) -> None:
    broken = installation(OVERLAY)
    break_it(broken)
    assert said in " ".join(check(broken))


def test_every_check_is_shown_to_notice() -> None:
    assert {check.__name__ for check in checks.CHECKS} == {check.__name__ for check, _, _ in BREAKAGES}
