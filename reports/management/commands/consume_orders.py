"""Read the events of orders from Kafka into the reports."""

import gc
import os
import signal
import socket
import threading
from typing import Any, Final

import structlog
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from prometheus_client import start_http_server

from config.embedded import EmbeddedError
from reports.consuming.group import GROUP, SESSION_SECONDS, group_name
from reports.consuming.loop import OrderConsumer, Until

log = structlog.get_logger(__name__)

BATCH: Final = 2_000
GARBAGE_OBJECTS: Final = 50_000
"""Made since the last look for circles of objects; by default 700."""
ENDING_SECONDS: Final = 15.0
"""For the batch in hand. Whatever is not committed by then comes again, so it may be left at any point."""


class Command(BaseCommand):
    requires_system_checks = (Tags.security,)  # the others load every address, which takes a second
    help = (
        "Read the events of orders from Kafka into the tables of /reports, until SIGTERM. Several may run: they share "
        "the topic's partitions. Whatever does not work – Postgres, the broker – is waited for; records that are no "
        "events of orders go to the dead-letter topic. Exit status: 0 told to end, or nothing more to do; 1 failed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        once = parser.add_mutually_exclusive_group()
        once.add_argument("--once", action="store_true", help="end after one batch")
        once.add_argument("--until-idle", action="store_true", help="end when everything is read that is there")
        parser.add_argument("--batch", type=int, default=BATCH, help=f"events in one transaction (default: {BATCH})")
        parser.add_argument(
            "--session", type=int, default=SESSION_SECONDS, metavar="SECONDS",
            help=f"how long one that is silent keeps its partitions from the others (default: {SESSION_SECONDS})",
        )  # fmt: skip
        parser.add_argument(
            "--metrics-port", type=int, default=0, metavar="PORT", help="show what is counted there (default: nowhere)"
        )
        parser.add_argument(
            "--group", default=group_name(), help=f"the consumer group (default: {GROUP} behind KAFKA_TOPIC_PREFIX)"
        )

    def handle(self, **options: Any) -> None:
        until = Until.ONE_BATCH if options["once"] else Until.IDLE if options["until_idle"] else Until.NEVER
        told = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: told.set())
        gc.freeze()  # a batch is many small objects without a circle among them; looking for some cost a quarter
        gc.set_threshold(GARBAGE_OBJECTS)
        if options["metrics_port"]:
            start_http_server(options["metrics_port"])
        consumer = OrderConsumer(
            group=options["group"], batch=options["batch"], session_seconds=options["session"], until=until, told=told,
            member=f"{socket.gethostname()}:{os.getpid()}",
        )  # fmt: skip
        failure = _run(consumer, told)
        if isinstance(failure, EmbeddedError):
            raise CommandError(str(failure))
        if failure is not None:
            raise failure


def _run(consumer: OrderConsumer, told: threading.Event) -> BaseException | None:
    """
    In a thread of its own, so that a signal is heard whatever it waits for; returns what ended it, if anything did.
    """
    failures: list[BaseException] = []

    def consume() -> None:
        try:
            consumer.run()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=consume, name="consumer", daemon=True)
    thread.start()
    while thread.is_alive() and not told.wait(0.2):
        pass
    thread.join(ENDING_SECONDS)
    if thread.is_alive():
        log.warning("consumer_left_in_the_middle")
        os._exit(0)
    return failures[0] if failures else None
