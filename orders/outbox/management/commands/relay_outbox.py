"""Send what stands in the outbox to Kafka."""

from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders.outbox.adopt import RelaysRunningError, adopt_database
from orders.outbox.models import Lane


class Command(BaseCommand):
    requires_system_checks = (Tags.security,)  # the others load every address, which takes a second
    help = (
        "Send events from the outbox to Kafka until SIGTERM. Run as many as you like: they share the lanes, and what "
        "one leaves behind another takes over. Exit status: 0 told to end, or nothing is left; 1 it cannot go on "
        "(start it again: it continues where it was) or a lane is halted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when nothing is left to send")
        parser.add_argument("--create-topics", action="store_true", help="make topics that the broker does not have")
        parser.add_argument(
            "--adopt-database",
            action="store_true",
            help="do not relay: go on in a database that was restored from a copy. What is not known to be "
            "acknowledged is sent again, with the same ids, by the relay that is started next",
        )

    def handle(self, **options: Any) -> None:
        if options["adopt_database"]:
            self._adopt()
            return
        from orders.outbox.relay.process import RelayProcess  # the clients of Kafka take a while to import

        good = RelayProcess(until_empty=options["once"], create_topics=options["create_topics"]).run()
        halted = Lane.objects.exclude(halted_reason="").order_by("lane") if options["once"] else []
        for lane in halted:
            self.stderr.write(f"Lane {lane.lane}: {lane.halted_reason}")
        raise SystemExit(0 if good and not halted else 1)

    def _adopt(self) -> None:
        try:
            adoption = adopt_database()
        except RelaysRunningError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"This database is the one to relay from now: {adoption.entries:,} entries with {adoption.events:,} events "
            "will be sent. Start the relay."
        )
