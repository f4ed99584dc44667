"""Entries into events."""

from collections.abc import Callable, Iterator, Sequence

from django.conf import settings
from django.utils.module_loading import import_string

from orders.outbox import bulk
from orders.outbox.batches import StoredEntry
from orders.outbox.events import Event

Expand = Callable[[Sequence[tuple[str, int]]], Iterator[Event]]


def expanded(entry: StoredEntry, *, after_event: int = 0) -> Iterator[tuple[int, Event]]:
    """
    The events of an entry, read from the database as they are asked for.

    Of a bulk entry only orders that are still in the version listed: whoever changed one meanwhile wrote an entry of
    its own for that version (copy-on-change).

    Args:
        after_event: leave out so many of the entry's list, which were sent already.
    Returns:
        (number, event): numbers from 1 are places in the entry's list; those of orders that are left out are missing.
    Raises:
        ValueError: the payload is damaged.
    """
    event = entry.event
    if entry.kind == "bulk":
        pairs = list(bulk.decode(event.data))
    elif event.data:
        if after_event < 1:
            yield 1, event
        return
    else:
        pairs = [(event.key, event.version)]
    yield from _numbered(pairs, after_event, event.type)


def _numbered(pairs: Sequence[tuple[str, int]], after_event: int, type: str) -> Iterator[tuple[int, Event]]:
    expand: Expand = import_string(settings.OUTBOX_EXPAND)
    number = after_event
    for event in expand(pairs[after_event:]):
        number += 1
        while pairs[number - 1] != (event.key, event.version):
            number += 1
        yield number, event if event.type == type else event._replace(type=type)
