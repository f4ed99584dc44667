"""
A relay: one loop for the lanes of single orders, one for those of bulk loads, so that a load of millions does not delay
a single order. Each has a process, for threads would wait for each other's Python.
"""

import gc
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from kafka import KafkaAdminClient

from config.kernel.kafka.admin import TopicState, administration, topic_create, topic_states
from config.kernel.kafka.clients import KafkaUnreachableError
from config.kernel.kafka.topics import topic_name
from config.kernel.processes import spawn
from orders.outbox.lanes import BULK_LANES, ORDER_LANES
from orders.outbox.partitioning import generation_begin, generations, newest
from orders.outbox.partitions import tend_partitions
from orders.outbox.producers.choice import make_producer
from orders.outbox.producers.interface import Producer, UnrecoverableError
from orders.outbox.relay.loop import Loop

log = structlog.get_logger(__name__)

TOPICS: Final = ("orders", "imports")
ORDERS_POLL_SECONDS: Final = 0.025
BULK_POLL_SECONDS: Final = 0.15
BULK_NICENESS: Final = 5
"""The relay of bulk loads lets that of single orders go first on a busy processor."""
END_SECONDS: Final = 20.0
TICK_SECONDS: Final = 0.5
CREATED_SECONDS: Final = 15.0
"""For the broker to know of topics that were just made."""
TEND_SECONDS: Final = 3_600.0


class RelayProcess:
    """
    Args:
        until_empty: end when nothing is left to send, instead of waiting for more.
        create_topics: make those that are missing; the embedded broker's, which forgets them, are made in any case.
    """

    def __init__(self, *, until_empty: bool = False, create_topics: bool = False) -> None:
        self._until_empty = until_empty
        self._create_topics = create_topics or not settings.KAFKA_BOOTSTRAP_SERVERS
        self._told_to_end = False  # no Event: a signal's handler must not wait for a lock that it interrupts
        self._name = f"{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(4)}"

    def run(self) -> bool:
        """
        Relay until SIGTERM or SIGINT. Whether all went well; if not, start the process again.

        Returns after 20 s at the latest when told to end, also when the broker does not answer.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        _spare_the_collector()
        log.info("relay_started", relay=self._name, producer=settings.OUTBOX_PRODUCER)
        relays = [
            spawn(partial(self._relay, group, lanes), name=f"relay-{group}")
            for group, lanes in (("orders", ORDER_LANES), ("bulk", BULK_LANES))
        ]
        self._tend_until_end(relays)
        wanted = self._until_empty or self._told_to_end
        stuck = _end(relays, seconds=END_SECONDS)
        # One may be told to end before it can heed it.
        statuses = [relay.exitcode for relay in relays]
        failed = not wanted or any(status not in (0, -signal.SIGTERM) for status in statuses)
        log.info("relay_ended", relay=self._name, failed=failed, stuck=stuck)
        return not failed

    def _tend_until_end(self, relays: Sequence[BaseProcess]) -> None:
        """
        Look after the partitions at once, for this may be a short run, and every hour, until told to end, or until one
        of the relays ended that should not have, or all of them did.
        """
        _tend()
        tend_at = time.monotonic() + TEND_SECONDS
        while not self._told_to_end:
            time.sleep(TICK_SECONDS)
            ended = [relay for relay in relays if not relay.is_alive()]
            if len(ended) == len(relays) or any(relay.exitcode or not self._until_empty for relay in ended):
                return
            if time.monotonic() >= tend_at:
                tend_at = time.monotonic() + TEND_SECONDS
                _tend()

    def _relay(self, group: str, lanes: range) -> None:
        """The body of a relay: its exit status says whether all went well."""
        signal.signal(signal.SIGTERM, self._on_signal)
        os.nice(0 if group == "orders" else BULK_NICENESS)
        try:
            Loop(
                name=group,
                lanes=lanes,
                owner=f"{self._name}:{group}",
                connect=partial(connect, create_topics=self._create_topics),
                told_to_end=lambda: self._told_to_end,
                poll_seconds=ORDERS_POLL_SECONDS if group == "orders" else BULK_POLL_SECONDS,
                sends_held=group == "orders",
            ).run(until_empty=self._until_empty)
        except (UnrecoverableError, KafkaUnreachableError) as error:
            log.error("relay_cannot_go_on", lanes=group, error=str(error))
            sys.exit(1)
        except Exception:
            log.exception("relay_failed", lanes=group)
            sys.exit(1)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._told_to_end = True


def _end(relays: Sequence[BaseProcess], *, seconds: float) -> bool:
    """Tell them to end and wait for it, at most so long; whether one had to be killed."""
    until = time.monotonic() + seconds
    for relay in relays:
        relay.terminate()
    for relay in relays:
        relay.join(max(0.0, until - time.monotonic()))
    stuck = [relay for relay in relays if relay.is_alive()]
    for relay in stuck:
        relay.kill()
        relay.join()
    return bool(stuck)


def _spare_the_collector() -> None:
    """
    Look for cyclic garbage seldom, and never among what is there already.

    A relay makes tens of thousands of tuples a second and hardly a cycle; with Python's defaults every 700 of them are
    looked through, and often enough all modules, too. That took half of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def _tend() -> None:
    try:
        tend_partitions()
    except (DatabaseError, InterfaceError) as error:
        log.warning("partitions_not_tended", error=str(error).strip())
    finally:
        connection.close()


def connect(*, create_topics: bool) -> Producer:
    """
    A producer for our topics, as the broker has them now.

    Args:
        create_topics: make those that are missing.
    Raises:
        UnrecoverableError, KafkaUnreachableError: it cannot be had now.
    """
    names = {topic: topic_name(topic) for topic in TOPICS}
    with administration() as client:
        found = topic_states(client, names.values())
        if create_topics and len(found) < len(names):
            found = _create(client, names)
    for topic, name in names.items():
        _ready(topic, name, found.get(name))
    return make_producer({topic: found[name].max_message_bytes for topic, name in names.items()})


def _create(client: KafkaAdminClient, names: dict[str, str]) -> dict[str, TopicState]:
    """What the broker says of the topics when it knows all of them; several relays may be at this at once."""
    for topic, name in names.items():
        topic_create(client, name, partitions=newest(topic))
    until = time.monotonic() + CREATED_SECONDS
    while len(found := topic_states(client, names.values())) < len(names) and time.monotonic() < until:
        time.sleep(TICK_SECONDS / 5)
    return found


def _ready(topic: str, name: str, state: TopicState | None) -> None:
    """The broker has what we count on; a topic that somebody else made is taken as it is."""
    if state is None:
        raise UnrecoverableError(f"The topic {name} does not exist. Run manage.py kafka_topics --create.")
    known = generations().get(topic)
    if not known:
        generation_begin(topic=topic, partitions=state.partitions)
    elif max(partitions for _, partitions in known) > state.partitions:
        raise UnrecoverableError(
            f"The topic {name} has {state.partitions} partitions, and events were spread over more. "
            "Run manage.py kafka_topics."
        )
