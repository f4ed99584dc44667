"""Reading where an order's events were found."""

from typing import Any, Final

from django.db.models import QuerySet

from reports.models import HistoryEntry

SHOWN_AT_MOST: Final = 1_000


def history_of(order_id: str) -> "QuerySet[HistoryEntry]":
    """
    The events of an order that were read in the last EVENT_HISTORY_DAYS days, the newest version first: event id,
    version, type, topic, partition, offset, and when. An index finds them in each day's partition.
    """
    return HistoryEntry.objects.filter(order_id=order_id).order_by("-version", "-consumed_at")


def place_of(entry: HistoryEntry) -> dict[str, Any]:
    """Where on the broker an event is: what `kcat -t TOPIC -p PARTITION -o OFFSET -c 1` needs."""
    return {"topic": entry.topic, "partition": entry.partition, "offset": entry.offset}
