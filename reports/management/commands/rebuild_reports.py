"""Make the reports again."""

from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser
from kafka.errors import KafkaError

from reports.consuming.replay import NoSuchTopicError, TopicNotCompleteError, replay
from reports.rebuilding import rebuild


class Command(BaseCommand):
    requires_system_checks = (Tags.security,)  # the others load every address, which takes a second
    help = (
        "Make the tables of /reports again, from the orders in Postgres: in one transaction, for which consumers wait "
        "and after which they go on. With --from-topic from Kafka, where the topic of orders is kept for ever: the "
        "reports are incomplete meanwhile, and the history of events is filled, too."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from-topic", action="store_true", help="read all events from Kafka again")

    def handle(self, **options: Any) -> None:
        try:
            if options["from_topic"]:
                replay(show=self._read)
            else:
                rebuild(show=self._step)
        except (TopicNotCompleteError, NoSuchTopicError, KafkaError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write("The reports are made again.")

    def _step(self, name: str, rows: int, seconds: float) -> None:
        self.stdout.write(f"{name}: {rows:,} rows written in {seconds:.1f} s")

    def _read(self, read: int, whole: int) -> None:
        self.stdout.write(f"{read:,} of {whole:,} records read")
