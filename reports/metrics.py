"""
Metrics of reports: what a consumer does is counted where it happens; how far it has got is read from Postgres.
"""

from collections.abc import Iterator
from typing import Final

from django.db import connection
from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily

from config.kernel.sql import load_queries

EFFECTIVE: Final = "effective"
LATE: Final = "late"
DEAD_LETTER: Final = "dead_letter"
SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

queries: Final = load_queries("reports", "metrics")

events: Final = Counter(
    "sluice_reports_events",
    "Events of orders consumed: they had an effect, came late or again, or were put into the dead-letter topic.",
    ["outcome"],
)
missed: Final = Counter(
    "sluice_reports_missed_events",
    "Events that were never read: they expired before, or a backup of the database was restored. See rebuild_reports.",
)
batches: Final = Histogram(
    "sluice_reports_batch_seconds", "Decoding a batch of events and writing it.", buckets=SECONDS
)
retries: Final = Counter("sluice_reports_retries", "Times that a consumer waited for what did not work.", ["what"])


def read_families() -> Iterator[GaugeMetricFamily]:
    """Gauges that are read from Postgres; raises what the database raises."""
    behind = GaugeMetricFamily("sluice_reports_lag_events", "Events that are still to be read.", labels=["partition"])
    seen = GaugeMetricFamily(
        "sluice_reports_seen_seconds", "Since a consumer last told how far it is.", labels=["partition"]
    )
    with connection.cursor() as cursor:
        cursor.execute(queries.metrics_positions)
        for partition, lag, seconds in cursor.fetchall():
            behind.add_metric([str(partition)], lag)
            seen.add_metric([str(partition)], seconds)
    yield behind
    yield seen
