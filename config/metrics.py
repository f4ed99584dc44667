"""`/metrics`: what the processes of this pod counted, and what stands in Postgres right now."""

import os
from collections.abc import Iterable
from typing import Final

import structlog
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from config.deadline import Question
from config.multiprocess import VARIABLE
from ingestion.metrics import read_families
from orders.outbox import metrics as outbox_metrics
from reports import metrics as reports_metrics

log = structlog.get_logger(__name__)

ANSWER_SECONDS: Final = 2.0
FRESH_SECONDS: Final = 5.0


class RowsCollector(Collector):
    """Gauges read from Postgres; when it does not answer, the others are shown without them."""

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("sluice_database_up", "Whether Postgres answered this scrape.")
        try:
            yield from rows.answer()
            up.add_metric([], 1)
        except Exception as error:  # metrics must come when something is wrong, above all then
            log.warning("metrics_incomplete", error=f"{type(error).__name__}: {error}".strip())
            up.add_metric([], 0)
        yield up


def exposition(accept: str) -> tuple[bytes, str]:
    """
    All metrics, and their content type.

    Args:
        accept: of the request: OpenMetrics or Prometheus' text.
    """
    registry = CollectorRegistry()
    if VARIABLE in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(_InMemory())
    registry.register(RowsCollector())
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _InMemory(Collector):
    """A process alone, such as manage.py runserver."""

    def collect(self) -> Iterable[Metric]:
        return REGISTRY.collect()


def _read() -> list[Metric]:
    return [*read_families(), *reports_metrics.read_families(), *outbox_metrics.read_families()]


rows: Final = Question(_read, seconds=ANSWER_SECONDS, fresh_seconds=FRESH_SECONDS)
