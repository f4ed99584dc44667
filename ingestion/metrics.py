"""
Metrics of ingestion: what stands in Postgres is read when Prometheus asks; what happens is counted where it happens.

Every web process tells the same about the state (take `max` over them); counters belong to the process that counts
(take `sum`).
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.db import connection
from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily

from config.kernel.sql import load_queries
from ingestion import states

QUERIES: Final = load_queries("ingestion", "metrics")
STATEMENT_TIMEOUT_MS: Final = 2_000
QUEUES: Final = ("small", "large")
COMMAND: Final = "command"  # imports of ingest_csv, which brings its own workers

records: Final = Counter("sluice_import_records", "Records of merged chunks by outcome.", ["outcome"])
chunks: Final = Counter("sluice_import_chunks", "Chunks merged.")
ended: Final = Counter("sluice_imports_ended", "Imports that ended, by state.", ["state"])


def count_chunk(outcomes: dict[str, int]) -> None:
    """A chunk was merged; `outcomes` counts its records (`loaded`, `rejected`, …)."""
    chunks.inc()
    for outcome, count in outcomes.items():
        records.labels(outcome).inc(count)


def count_end(state: str) -> None:
    """An import has ended, and its certificate is written."""
    ended.labels(state).inc()


def read_families() -> list[GaugeMetricFamily]:
    """All gauges that are read from Postgres; raises what the database raises."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(STATEMENT_TIMEOUT_MS)])
    return [*_imports(), *_work(), *_uploads()]


def _imports() -> Iterator[GaugeMetricFamily]:
    found = dict(_rows(QUERIES.metrics_imports))
    family = GaugeMetricFamily("sluice_imports", "Imports by state.", labels=["state"])
    for state in states.ALL:
        family.add_metric([state], found.get(state, 0))
    yield family
    waiting = GaugeMetricFamily("sluice_imports_waiting", "Imports that nobody has begun.", labels=["queue"])
    oldest = GaugeMetricFamily("sluice_imports_waiting_seconds", "How long the oldest of them waits.", labels=["queue"])
    by_queue = {queue: (count, seconds) for queue, count, seconds in _rows(QUERIES.metrics_waiting)}
    for queue in QUEUES:
        count, seconds = by_queue.get(queue, (0, 0.0))
        waiting.add_metric([queue], count)
        oldest.add_metric([queue], seconds)
    yield waiting
    yield oldest


def _work() -> Iterator[GaugeMetricFamily]:
    """Queued + running, by queue: what an autoscaler of workers adds up."""
    family = GaugeMetricFamily(
        "sluice_work", "Chunks (queue steps: imports) with work to do, waiting or held by a worker.",
        labels=["queue", "state"],
    )  # fmt: skip
    by_queue = {queue or COMMAND: (waiting, held) for queue, waiting, held in _rows(QUERIES.metrics_chunks)}
    for queue in (*QUEUES, COMMAND):
        waiting, held = by_queue.get(queue, (0, 0))
        family.add_metric([queue, "waiting"], waiting)
        family.add_metric([queue, "held"], held)
    ((waiting, held),) = _rows(QUERIES.metrics_steps)
    family.add_metric(["steps", "waiting"], waiting)
    family.add_metric(["steps", "held"], held)
    yield family


def _uploads() -> Iterator[GaugeMetricFamily]:
    uploads = GaugeMetricFamily("sluice_uploads", "Uploads by state.", labels=["state"])
    stored = GaugeMetricFamily("sluice_uploads_stored_bytes", "Bytes that uploads have in storage.", labels=["state"])
    for state, count, size_bytes in _rows(QUERIES.metrics_uploads):
        uploads.add_metric([state], count)
        if size_bytes:
            stored.add_metric([state], size_bytes)
    yield uploads
    yield stored


def _rows(query: str) -> Iterable[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())
