"""Metrics of the outbox, read from Postgres when Prometheus asks. All processes tell the same: take their `max`."""

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from orders.outbox.models import HaltedKey, HeldEvent
from orders.outbox.selectors import entries_kept, lanes, lanes_halted


def read_families() -> list[Metric]:
    """Lag and progress of each lane, what is halted, how much is kept; raises what the database raises."""
    names = ["lane"]
    lag = GaugeMetricFamily("sluice_outbox_lag_seconds", "Age of the oldest event not acknowledged.", labels=names)
    behind = GaugeMetricFamily("sluice_outbox_events_behind", "Events not acknowledged, about.", labels=names)
    published = CounterMetricFamily("sluice_outbox_events_published", "Events acknowledged ever.", labels=names)
    acknowledged = GaugeMetricFamily(
        "sluice_outbox_acknowledged_timestamp_seconds", "When the broker last acknowledged something.", labels=names
    )
    owned = GaugeMetricFamily("sluice_outbox_lane_owned", "Whether a relay has the lane.", labels=names)
    for each in lanes():
        lane = [str(each.lane)]
        lag.add_metric(lane, each.lag_seconds)
        behind.add_metric(lane, each.events_behind)
        published.add_metric(lane, each.published)
        acknowledged.add_metric(lane, each.acknowledged_at.timestamp() if each.acknowledged_at else 0)
        owned.add_metric(lane, bool(each.owner))
    return [
        lag, behind, published, acknowledged, owned,
        GaugeMetricFamily(
            "sluice_outbox_lanes_halted",
            "Lanes of the outbox that stand still until somebody acts (manage.py outbox_poison list).",
            value=lanes_halted(),
        ),
        GaugeMetricFamily(
            "sluice_outbox_halted_keys", "Keys with an event that cannot be sent.", value=HaltedKey.objects.count()
        ),
        GaugeMetricFamily("sluice_outbox_held_events", "Events behind these.", value=HeldEvent.objects.count()),
        GaugeMetricFamily("sluice_outbox_entries", "Entries of the outbox, about.", value=entries_kept()),
    ]  # fmt: skip
