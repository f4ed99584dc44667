"""Where an order's events were read, and how far all of them have been."""

from typing import Any

from django.db.models import QuerySet

from reports.models import Consumption, HistoryEntry


def history_of(order_id: str) -> "QuerySet[HistoryEntry]":
    """
    The events of an order that were read in the last EVENT_HISTORY_DAYS days, the newest version first: event id,
    version, type, topic, partition, offset, and when. An index finds them in each day's partition.
    """
    return HistoryEntry.objects.filter(order_id=order_id).order_by("-version", "-consumed_at")


def positions_known() -> dict[tuple[str, int], int]:
    """By topic and partition, the offset of the next event to be read."""
    return {(row.topic, row.partition): row.offset for row in Consumption.objects.all()}


def place_of(entry: HistoryEntry) -> dict[str, Any]:
    """Where on the broker an event is: what `kcat -t TOPIC -p PARTITION -o OFFSET -c 1` needs."""
    return {"topic": entry.topic, "partition": entry.partition, "offset": entry.offset}
