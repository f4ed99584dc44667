"""
What must hold in every installation. Each check yields what is wrong, as sentences; none when all is well.

`test_kubernetes.py` runs them on the overlays, and breaks the overlays to see that they notice.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings

from tests.integration.deploy.manifests import (
    Document,
    Installation,
    Workload,
    cores,
    matches,
    megabytes,
)

FIRST_OWN_UID: Final = 10_000
# What an installation must have before (production has no secrets of its own), with the keys that we count on.
GIVEN_SECRETS: Final = {
    "sluice": {
        "SECRET_KEY",
        "DATABASE_URL",
        "REDIS_URL",
        "TASKS_REDIS_URL",
        "UPLOADS_S3_ACCESS_KEY",
        "UPLOADS_S3_SECRET_KEY",
    },
    "postgres": {"POSTGRES_PASSWORD", "SLUICE_PASSWORD"},
    "redis": {"auth.conf"},
}
SERVERS: Final = {
    "DATABASE_URL": ("postgres", 5432),
    "REDIS_URL": ("redis-cache", 6379),
    "TASKS_REDIS_URL": ("redis-tasks", 6379),
}
KAFKA: Final = "kafka"
KAFKA_PORT: Final = 9092
CONTROLLER_PORT: Final = 9093
# Only these speak with Kafka, though all have the setting.
KAFKA_COMMANDS: Final = {"relay_outbox", "consume_orders", "kafka_topics"}
HTTPS: Final = 443
# A worker promises to end within 30 s of SIGTERM; gunicorn and the pod want some seconds to end after that.
WORKER_SECONDS: Final = 30
ENDING_SECONDS: Final = 10
# Connections of a process beside its threads': asking whether it is ready, and for metrics.
OWN_CONNECTIONS: Final = 2
RESERVED_CONNECTIONS: Final = 10  # people with psql, superusers


def pods_are_restricted(installation: Installation) -> Iterator[str]:
    """The pod security standard "restricted", and beyond: a user of the image's own, a read-only root, no token."""
    for workload in installation.workloads:
        pod, context = workload.pod, workload.pod.get("securityContext", {})
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{workload}: a token for the Kubernetes API is mounted"
        if pod.get("enableServiceLinks") is not False:
            yield f"{workload}: other Services add to its environment"
        if context.get("runAsNonRoot") is not True:
            yield f"{workload}: may run as root"
        if min(context.get("runAsUser", 0), context.get("runAsGroup", 0)) < FIRST_OWN_UID:
            yield f"{workload}: runs as an account that the host may have, too"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{workload}: has no seccomp profile"
        if any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{workload}: shares a namespace with the host"
        if any("hostPath" in volume for volume in workload.volumes.values()):
            yield f"{workload}: mounts a directory of the host"
        for container in workload.containers:
            rights = container.get("securityContext", {})
            if rights.get("allowPrivilegeEscalation") is not False or rights.get("privileged"):
                yield f"{workload}, {container['name']}: may gain privileges"
            if rights.get("readOnlyRootFilesystem") is not True:
                yield f"{workload}, {container['name']}: its root can be written"
            if rights.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{workload}, {container['name']}: keeps capabilities"


def containers_have_resources(installation: Installation) -> Iterator[str]:
    """Requests of both, a limit of memory, and none of CPU (it stops all threads of a pod on an idle node, too)."""
    for workload in installation.workloads:
        for container in workload.containers:
            where = f"{workload}, {container['name']}"
            requests = container.get("resources", {}).get("requests", {})
            limits = container.get("resources", {}).get("limits", {})
            if "memory" not in limits or set(requests) != {"cpu", "memory"}:
                yield f"{where}: requests {sorted(requests)}, limits {sorted(limits)}"
                continue
            if "cpu" in limits:
                yield f"{where}: has a limit of CPU"
            if megabytes(requests["memory"]) > megabytes(limits["memory"]) or cores(requests["cpu"]) <= 0:
                yield f"{where}: requests more than its limits"


def images_are_named(installation: Installation) -> Iterator[str]:
    """A tag that tells what runs; and one image for all our processes."""
    for workload in installation.workloads:
        for container in workload.containers:
            tag = container["image"].partition("@")[0].rpartition("/")[2].partition(":")[2]
            if tag in ("", "latest"):
                yield f"{workload}, {container['name']}: {container['image']} can be anything"
    ours = {container["image"] for workload in installation.ours for container in workload.containers}
    if len(ours) != 1:
        yield f"our processes run different images: {sorted(ours)}"


def migrations_are_named_after_the_image(installation: Installation) -> Iterator[str]:
    """A Job cannot be changed: another image needs another Job, and nothing that changes may be in its template."""
    migration = installation.migration
    tag = migration.container["image"].rpartition(":")[2]
    if migration.name != f"migrate-{tag}":
        yield f"the Job {migration.name} is not named after the tag {tag}"
    generated = {document["metadata"]["name"] for document in installation.of("ConfigMap")}
    if any(name in str(migration.pod) for name in generated):
        yield f"the Job {migration.name} changes with the settings, which Kubernetes refuses"
    (migrate,) = [each for each in migration.containers if "migrate" in each["command"]]
    if "lock_timeout" not in installation.environment(migrate).get("PGOPTIONS", ""):
        yield f"the Job {migration.name} waits for locks without end"
    if not migration.spec.get("backoffLimit"):
        yield f"the Job {migration.name} is not tried again"


def processes_wait_for_migrations(installation: Installation) -> Iterator[str]:
    for workload in installation.ours:
        if workload.kind == "Deployment":
            first = workload.pod.get("initContainers", [])
            if not any("migrate --check" in " ".join(each.get("args", [])) for each in first):
                yield f"{workload}: starts before the database is migrated"


def servers_have_probes(installation: Installation) -> Iterator[str]:
    """Whoever listens is asked whether it has started, is ready, and lives; a started one gets some time to answer."""
    for workload in installation.workloads:
        container = workload.container
        if not container.get("ports"):
            continue
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.get(name, {})
            if not probe:
                yield f"{workload}: has no {name}"
            elif "httpGet" in probe and probe["httpGet"]["port"] not in {port["name"] for port in container["ports"]}:
                yield f"{workload}: its {name} asks a port that it does not have"
            elif probe["timeoutSeconds"] < 2:
                yield f"{workload}: its {name} gives up after a second"
    web = installation.workload("web").container
    paths = {name: web.get(f"{name}Probe", {}).get("httpGet", {}).get("path") for name in ("liveness", "readiness")}
    if paths != {"liveness": "/healthz", "readiness": "/readyz"}:
        yield f"web: asked by {paths}"


def selectors_match(installation: Installation) -> Iterator[str]:
    """Each selects its own pods and nobody else's."""
    for workload in installation.workloads:
        if workload.kind in ("Deployment", "StatefulSet"):
            selector = workload.spec["selector"]
            if [each.name for each in installation.selected(selector)] != [workload.name]:
                yield f"{workload}: selects {[str(each) for each in installation.selected(selector)]}"
        for spread in workload.pod.get("topologySpreadConstraints", []):
            if not matches(spread["labelSelector"], workload.labels):
                yield f"{workload}: spreads over others' pods"
    for service in installation.of("Service"):
        found = installation.selected({"matchLabels": service["spec"]["selector"]})
        if len(found) != 1:
            yield f"Service {service['metadata']['name']}: has {len(found)} kinds of pods"
            continue
        ports = {port["name"] for port in found[0].container.get("ports", [])}
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in ports:
                yield f"Service {service['metadata']['name']}: its pods have no port {port['targetPort']}"
    for budget in installation.of("PodDisruptionBudget"):
        if len(installation.selected(budget["spec"]["selector"])) != 1:
            yield f"PodDisruptionBudget {budget['metadata']['name']}: protects nobody, or several"


def deployments_have_budgets(installation: Installation) -> Iterator[str]:
    protected = set()
    for budget in installation.of("PodDisruptionBudget"):
        spec = budget["spec"]
        protected |= {workload.name for workload in installation.selected(spec["selector"])}
        if spec.get("maxUnavailable") != 1 or spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield f"PodDisruptionBudget {budget['metadata']['name']}: can keep a node from being drained"
    for workload in installation.workloads:
        several = workload.kind == "StatefulSet" and workload.spec["replicas"] > 1
        if (workload.kind == "Deployment" or several) and workload.name not in protected:
            yield f"{workload}: a drained node may take all its pods at once"


def rollouts_lose_nobody(installation: Installation) -> Iterator[str]:
    """No old pod goes before a new one is ready."""
    for workload in installation.workloads:
        if workload.kind != "Deployment":
            continue
        rolling = workload.spec.get("strategy", {}).get("rollingUpdate", {})
        if (rolling.get("maxSurge"), rolling.get("maxUnavailable")) != (1, 0):
            yield f"{workload}: rolls out by {rolling}"
        if workload.spec.get("replicas", 2) > 1 and not all(
            spread.get("matchLabelKeys") == ["pod-template-hash"]
            for spread in workload.pod.get("topologySpreadConstraints", [{}])
        ):
            yield f"{workload}: its pods may all be on one node"
    if installation.workload("web").spec.get("minReadySeconds") != 5:
        yield "web: a pod counts as available the moment it is ready"


def graces_are_long_enough(installation: Installation) -> Iterator[str]:
    """A pod is killed after its grace, so everything that it does before must fit."""
    web = installation.workload("web")
    pause = web.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if pause < 10:
        yield "web: gets SIGTERM before the proxies know that it goes"
    graceful = int(installation.environment(web.container)["WEB_GRACEFUL_SECONDS"])
    if web.pod["terminationGracePeriodSeconds"] < pause + graceful + ENDING_SECONDS:
        yield f"web: {pause} s + {graceful} s + {ENDING_SECONDS} s do not fit into its grace"
    for workload in installation.ours:
        if workload.kind == "Deployment" and workload.name != "web":
            shutdown = _after(workload.container["command"], "--worker-shutdown-timeout")
            if shutdown and int(shutdown) / 1000 > WORKER_SECONDS:
                yield f"{workload}: dramatiq ends after {shutdown} ms"
            if workload.pod["terminationGracePeriodSeconds"] < WORKER_SECONDS + ENDING_SECONDS:
                yield f"{workload}: is killed while it ends"


def mounts_have_volumes(installation: Installation) -> Iterator[str]:
    """Mounts have volumes, volumes are used, and what they name exists, with the keys that are read."""
    claims = {document["metadata"]["name"] for document in installation.of("PersistentVolumeClaim")}
    maps = {document["metadata"]["name"]: set(document["data"]) for document in installation.of("ConfigMap")}
    secrets = GIVEN_SECRETS | {each["metadata"]["name"]: set(each["data"]) for each in installation.of("Secret")}
    for workload in installation.workloads:
        templates = {each["metadata"]["name"] for each in workload.spec.get("volumeClaimTemplates", [])}
        mounted = {mount["name"] for container in workload.containers for mount in container.get("volumeMounts", [])}
        if mounted != set(workload.volumes) | templates:
            yield f"{workload}: mounts {sorted(mounted)}, has {sorted(set(workload.volumes) | templates)}"
        for volume in workload.volumes.values():
            if "persistentVolumeClaim" in volume and volume["persistentVolumeClaim"]["claimName"] not in claims:
                yield f"{workload}: there is no claim for {volume['name']}"
            if "configMap" in volume and volume["configMap"]["name"] not in maps:
                yield f"{workload}: there is no ConfigMap for {volume['name']}"
            if "secret" in volume and volume["secret"]["secretName"] not in secrets:
                yield f"{workload}: there is no Secret for {volume['name']}"
        for container in workload.containers:
            for name, path in installation.environment(container).items():
                if path.startswith("/run/secrets/") and not _has_file(workload, container, path, secrets):
                    yield f"{workload}, {container['name']}: {name} names {path}, which is not there"


def claims_are_shared_by_those_who_may(installation: Installation) -> Iterator[str]:
    """More than one pod needs one storage for uploads: a bucket, or a volume that all of them mount."""
    for workload in installation.ours:
        environment = installation.environment(workload.container)
        mounted = {mount["mountPath"] for mount in workload.container["volumeMounts"]}
        if (
            _reads_uploads(workload)
            and not environment.get("UPLOADS_S3_BUCKET")
            and "/var/lib/sluice/media" not in mounted
        ):
            yield f"{workload}: keeps uploads where no other pod sees them"


def written_places_are_mounted(installation: Installation) -> Iterator[str]:
    """The root is read-only."""
    for workload in installation.ours:
        for container in workload.containers:
            mounted = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
            written = {"/tmp", installation.environment(container).get("PROMETHEUS_MULTIPROC_DIR", "/tmp")}
            if not written <= mounted:
                yield f"{workload}, {container['name']}: cannot write {sorted(written - mounted)}"


def uploads_fit_on_their_way(installation: Installation) -> Iterator[str]:
    """Each thread may fill a segment for the bucket while the one before is still being sent."""
    web = installation.workload("web")
    environment = installation.environment(web.container)
    if environment.get("UPLOADS_S3_BUCKET"):
        threads = int(environment["WEB_PROCESSES"]) * int(environment["WEB_THREADS"])
        wanted = 2 * threads * settings.UPLOAD_SEGMENT_BYTES / (1 << 20)
        room = megabytes(web.volumes["tmp"]["emptyDir"]["sizeLimit"])
        if room < wanted:
            yield f"web: {wanted:.0f} MiB of uploads do not fit into {room:.0f} MiB"


def servers_stand_alone(installation: Installation) -> Iterator[str]:
    """Without replication a second replica is a second, different database. Kafka has one: see `brokers_agree`."""
    services = {service["metadata"]["name"]: service for service in installation.of("Service")}
    for workload in installation.workloads:
        if workload.kind != "StatefulSet":
            continue
        if workload.spec["replicas"] != 1 and workload.name != KAFKA:
            yield f"{workload}: {workload.spec['replicas']} replicas, each with data of its own"
        if services.get(workload.spec["serviceName"], {}).get("spec", {}).get("clusterIP") != "None":
            yield f"{workload}: has no headless Service {workload.spec['serviceName']}"
    for name in ("postgres", KAFKA):
        if not installation.workload(name).spec.get("volumeClaimTemplates"):
            yield f"{name}: loses its data with its pod"


def brokers_agree(installation: Installation) -> Iterator[str]:
    """How many brokers there are is said in several places; with three, each event lies three times."""
    kafka = installation.workload(KAFKA)
    brokers, environment = kafka.spec["replicas"], installation.environment(kafka.container)
    if environment["KAFKA_BROKERS"] != str(brokers):
        yield f"kafka: {brokers} pods, each of which knows of {environment['KAFKA_BROKERS']}"
    if brokers % 2 == 0:
        yield f"kafka: of {brokers} brokers no more may fail than of {brokers - 1}"
    web, topics = (installation.environment(each.container) for each in (
        installation.workload("web"), installation.migration,
    ))  # fmt: skip
    if web["KAFKA_REPLICATION_FACTOR"] != str(min(3, brokers)):
        yield f"kafka: {web['KAFKA_REPLICATION_FACTOR']} copies on {brokers} brokers"
    for name in sorted(name for name in web if name.startswith("KAFKA_")):
        if topics.get(name) != web[name]:
            yield f"{installation.migration}: its {name} is {topics.get(name)}, not {web[name]}"
    if kafka.spec.get("podManagementPolicy") != "Parallel":
        yield "kafka: the first broker waits for others that are not started before it is ready"
    if installation.one("Service", KAFKA)["spec"].get("publishNotReadyAddresses") is not True:
        yield "kafka: brokers that start do not find each other"


def autoscalers_own_the_number(installation: Installation) -> Iterator[str]:
    for scaler in installation.of("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]["name"]
        if "replicas" in installation.workload(target).document["spec"]:
            yield f"{target}: each `apply` undoes what the autoscaler did"
        if scaler["spec"]["minReplicas"] < 2:
            yield f"{target}: may shrink to one pod"


def servers_have_the_memory(installation: Installation) -> Iterator[str]:
    """What a server is configured to take is less than what it gets."""
    configured = postgres_settings(installation)
    postgres = megabytes(installation.workload("postgres").container["resources"]["limits"]["memory"])
    if megabytes(configured["shared_buffers"]) > 0.4 * postgres:
        yield f"postgres: shared_buffers of {configured['shared_buffers']} leave too little of {postgres:.0f} MiB"
    claim = installation.workload("postgres").spec["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]
    if megabytes(configured["max_wal_size"]) > 0.25 * megabytes(claim["storage"]):
        yield f"postgres: max_wal_size of {configured['max_wal_size']} can fill a disk of {claim['storage']}"
    kafka = installation.workload(KAFKA)
    (heap,) = re.findall(r"-Xmx(\d+[mg])", installation.environment(kafka.container)["KAFKA_HEAP_OPTS"])
    limit = megabytes(kafka.container["resources"]["limits"]["memory"])
    if megabytes(heap) > 0.5 * limit:
        yield f"kafka: a heap of {heap} leaves too little of {limit:.0f} MiB"
    files = installation.one("ConfigMap", "redis")["data"]
    for name, policy in (("cache", "allkeys-lru"), ("tasks", "noeviction")):
        values = dict(line.split(maxsplit=1) for line in files[f"{name}.conf"].splitlines() if line[:1].isalpha())
        limit = megabytes(installation.workload(f"redis-{name}").container["resources"]["limits"]["memory"])
        if megabytes(values["maxmemory"]) > 0.6 * limit:
            yield f"redis-{name}: maxmemory of {values['maxmemory']} leaves too little of {limit:.0f} MiB"
        if (values["maxmemory-policy"], values["appendonly"]) != (policy, "yes" if name == "tasks" else "no"):
            yield f"redis-{name}: {values['maxmemory-policy']}, appendonly {values['appendonly']}"


def connections_fit(installation: Installation) -> Iterator[str]:
    """All pods at once, also during a rollout, find a connection for each of their threads."""
    wanted = RESERVED_CONNECTIONS
    for workload in installation.ours:
        environment = installation.environment(workload.container)
        pods = _most_pods(installation, workload)
        if workload.name == "web":
            threads = int(environment["WEB_PROCESSES"]) * (int(environment["WEB_THREADS"]) + OWN_CONNECTIONS)
        else:
            command = workload.container["command"]
            threads = int(_after(command, "-p") or 1) * (int(_after(command, "-t") or 1) + OWN_CONNECTIONS)
        wanted += pods * threads
    allowed = int(postgres_settings(installation)["max_connections"])
    if wanted > allowed:
        yield f"{wanted} connections are wanted, Postgres has {allowed}"


def edges_are_open(installation: Installation) -> Iterator[str]:
    """Who needs a server reaches it; nobody reaches anything else."""
    network = Network(installation)
    if not network.denies_by_default():
        yield "the default is not to deny"
    servers = {name: installation.workload(name) for name, _ in SERVERS.values()}
    for workload in installation.workloads:
        environment = installation.environment(workload.container) if workload.is_ours else {}
        needed = {server for name, server in SERVERS.items() if name in environment or f"{name}_FILE" in environment}
        for name, port in SERVERS.values():
            reached = network.connects(workload.labels, servers[name].labels, port)
            if reached != ((name, port) in needed):
                yield f"{workload} → {name}: {'open without need' if reached else 'closed'}"
        if network.reaches_outside(workload.labels, HTTPS) != _reads_uploads(workload):
            yield f"{workload} → the bucket: {'closed' if _reads_uploads(workload) else 'open without need'}"
        if not network.resolves_names(workload.labels):
            yield f"{workload}: cannot resolve names"
        for other in installation.workloads:
            if other.name not in servers and network.connects(workload.labels, other.labels, 8000):
                yield f"{workload} → {other}: open without need"
        yield from _edges_to_kafka(installation, network, workload)


def _edges_to_kafka(installation: Installation, network: "Network", workload: Workload) -> Iterator[str]:
    """Who speaks with Kafka reaches its brokers, and the brokers each other and their controllers."""
    kafka = installation.workload(KAFKA)
    broker = workload.name == KAFKA
    needed = {KAFKA_PORT: broker or speaks_with_kafka(workload), CONTROLLER_PORT: broker}
    for port, needs in needed.items():
        if network.connects(workload.labels, kafka.labels, port) != needs:
            yield f"{workload} → kafka, {port}: {'closed' if needs else 'open without need'}"


def speaks_with_kafka(workload: Workload) -> bool:
    return workload.is_ours and any(KAFKA_COMMANDS & set(each.get("command", [])) for each in workload.containers)


def _reads_uploads(workload: Workload) -> bool:
    """Whether it reads or writes uploads."""
    return workload.is_ours and not speaks_with_kafka(workload)


def entrances_are_open(installation: Installation) -> Iterator[str]:
    """Where an Ingress or a Gateway serves the site, its controller's pods may ask the web pods, and nobody else."""
    served = [*installation.of("Ingress"), *installation.of("HTTPRoute")]
    rules = Network(installation).entrances(installation.workload("web").labels)
    if bool(served) != bool(rules):
        yield f"{len(served)} routes lead to web, {len(rules)} policies let them in"
    for rule in rules:
        if not all(peer.get("namespaceSelector", {}).get("matchLabels") for peer in rule.get("from", [{}])):
            yield "everybody outside may ask the web pods"
        if [port["port"] for port in rule["ports"]] != [8000]:
            yield f"the controller reaches {rule['ports']}"


def hosts_are_one(installation: Installation) -> Iterator[str]:
    """The name that routes serve is the one that Django answers to, with a certificate; probes' names it need not."""
    allowed = installation.environment(installation.workload("web").container)["ALLOWED_HOSTS"].split(",")
    for ingress in installation.of("Ingress"):
        hosts = {rule["host"] for rule in ingress["spec"]["rules"]}
        covered = {host for tls in ingress["spec"].get("tls", []) for host in tls["hosts"]}
        if not hosts <= set(allowed) or hosts != covered:
            yield f"{ingress['metadata']['name']}: serves {hosts}, Django {allowed}, certificates {covered}"
        for path in _paths(ingress):
            if path["backend"]["service"]["name"] not in {
                each["metadata"]["name"] for each in installation.of("Service")
            }:
                yield f"{path['path']} leads nowhere"


def names_are_unique(installation: Installation) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    namespaces = {document["metadata"]["name"] for document in installation.of("Namespace")}
    for document in installation.documents:
        key = (document["kind"], document["metadata"]["name"])
        if key in seen:
            yield f"{key} is there twice"
        seen.add(key)
        if document["kind"] != "Namespace" and {document["metadata"].get("namespace")} != namespaces:
            yield f"{key} is outside of the namespace"
    for namespace in installation.of("Namespace"):
        if namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield "the namespace does not enforce pod security"


CHECKS: Final = (
    pods_are_restricted,
    containers_have_resources,
    images_are_named,
    migrations_are_named_after_the_image,
    processes_wait_for_migrations,
    servers_have_probes,
    selectors_match,
    deployments_have_budgets,
    rollouts_lose_nobody,
    graces_are_long_enough,
    mounts_have_volumes,
    claims_are_shared_by_those_who_may,
    written_places_are_mounted,
    uploads_fit_on_their_way,
    servers_stand_alone,
    brokers_agree,
    autoscalers_own_the_number,
    servers_have_the_memory,
    connections_fit,
    edges_are_open,
    entrances_are_open,
    hosts_are_one,
    names_are_unique,
)


class Network:
    """What the policies allow, as Kubernetes adds them up: who is selected by one is denied what none allows."""

    def __init__(self, installation: Installation) -> None:
        self._policies = [policy["spec"] for policy in installation.of("NetworkPolicy")]

    def denies_by_default(self) -> bool:
        return {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in self._policies

    def connects(self, source: dict[str, str], target: dict[str, str], port: int) -> bool:
        """Whether pods of this namespace with these labels may connect: the one out, the other in."""
        out = any(_allows(rule, "to", target, port) for rule in self._rules(source, "Egress"))
        into = any(_allows(rule, "from", source, port) for rule in self._rules(target, "Ingress"))
        return out and into

    def reaches_outside(self, source: dict[str, str], port: int) -> bool:
        return any(
            "ipBlock" in peer and port in [each["port"] for each in rule["ports"]]
            for rule in self._rules(source, "Egress")
            for peer in rule["to"]
        )

    def resolves_names(self, source: dict[str, str]) -> bool:
        dns = {"matchLabels": {"k8s-app": "kube-dns"}}
        found = {
            each["protocol"]
            for rule in self._rules(source, "Egress")
            for peer in rule["to"]
            for each in rule["ports"]
            if peer.get("podSelector") == dns and each["port"] == 53
        }
        return found == {"TCP", "UDP"}

    def entrances(self, target: dict[str, str]) -> list[Document]:
        """Rules that let in pods of other namespaces."""
        rules = self._rules(target, "Ingress")
        return [rule for rule in rules if any("podSelector" not in peer for peer in rule.get("from", [{}]))]

    def _rules(self, labels: dict[str, str], direction: str) -> list[Document]:
        return [
            rule
            for policy in self._policies
            if direction in policy["policyTypes"] and matches(policy["podSelector"], labels)
            for rule in policy.get(direction.lower(), [])
        ]


def postgres_settings(installation: Installation) -> dict[str, str]:
    """postgresql.conf with what overlay.conf says otherwise."""
    files = installation.one("ConfigMap", "postgres")["data"]
    text = files["postgresql.conf"] + files.get("overlay.conf", "")
    return {name: value.strip("'") for name, value in re.findall(r"(?m)^(\w+) = (.+)$", text)}


def _allows(rule: Document, side: str, labels: dict[str, str], port: int) -> bool:
    return ("ports" not in rule or port in [each["port"] for each in rule["ports"]]) and any(
        "podSelector" in peer and "namespaceSelector" not in peer and matches(peer["podSelector"], labels)
        for peer in rule.get(side, [{"podSelector": {}}])
    )


def _has_file(workload: Workload, container: Document, path: str, secrets: dict[str, Any]) -> bool:
    folder, _, key = path.rpartition("/")
    for mount in container["volumeMounts"]:
        if mount["mountPath"] == folder:
            secret = workload.volumes.get(mount["name"], {}).get("secret", {})
            return key in secrets.get(secret.get("secretName"), ())
    return False


def _most_pods(installation: Installation, workload: Workload) -> int:
    """How many there may be at once; a rollout adds one."""
    if workload.kind != "Deployment":
        return 1
    for scaler in installation.of("HorizontalPodAutoscaler"):
        if scaler["spec"]["scaleTargetRef"]["name"] == workload.name:
            return int(scaler["spec"]["maxReplicas"]) + 1
    return int(workload.spec["replicas"]) + 1


def _after(command: list[str], option: str) -> str | None:
    return command[command.index(option) + 1] if option in command else None


def _paths(ingress: Document) -> list[Document]:
    return [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
