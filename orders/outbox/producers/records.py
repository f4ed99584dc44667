"""An event as a record of Kafka: CloudEvents 1.0, Kafka protocol binding, binary mode."""

from collections.abc import Callable
from typing import Final

from django.conf import settings

from orders.outbox.events import Event
from orders.outbox.producers.interface import PoisonEventError

Header = tuple[str, str | bytes | None]  # always bytes; so wide because lists of them go to confluent-kafka's types

CONTENT_TYPE: Final = b"application/json; charset=utf-8"
SCHEMAS: Final = {"orders": b"urn:sluice:schema:order:v1", "imports": b"urn:sluice:schema:import:v1"}
OVERHEAD_BYTES: Final = 200
"""More than a batch with one record takes beside key, value and headers' values: 61, lengths, names of headers."""


def header_maker() -> Callable[[Event], list[Header]]:
    """
    A function that gives the headers of an event.

    It is made once, because what all events have in common need not be put together 100,000 times a second.
    """
    source = settings.EVENT_SOURCE.encode()
    version, content_type = ("ce_specversion", b"1.0"), ("content-type", CONTENT_TYPE)
    constant_source = ("ce_source", source)
    schemas = {topic: ("ce_dataschema", schema) for topic, schema in SCHEMAS.items()}
    types: dict[str, Header] = {}

    def headers(event: Event) -> list[Header]:
        _, ce_id, ce_type, key, _, _, _, time, _ = event
        kind = types.get(ce_type)
        if kind is None:
            kind = types[ce_type] = ("ce_type", ce_type.encode())
        return [
            version,
            ("ce_id", ce_id.encode()),
            kind,
            constant_source,
            ("ce_subject", key.encode()),
            ("ce_time", time.encode()),
            schemas[event[0]],
            content_type,
        ]

    return headers


def size_bytes(event: Event) -> int:
    """At least what the event takes as a batch of its own; texts have at most 4 bytes a character."""
    texts = len(event.id) + len(event.type) + len(event.key) + len(event.partition_key)
    return len(event.data) + 4 * texts + len(settings.EVENT_SOURCE) + OVERHEAD_BYTES


def check_size(event: Event, limit: int) -> None:
    """
    Raises:
        PoisonEventError: the event has more bytes than a batch of its topic may have.
    """
    size = size_bytes(event)
    if size > limit:
        raise PoisonEventError(f"The event has {size:,} bytes, its topic takes {limit:,}.")
