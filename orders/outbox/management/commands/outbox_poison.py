"""Keys with an event that cannot be sent: list them, release them, drop the event."""

import getpass
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

from orders.outbox.halting import KeyNotHalted, ReasonMissing, event_drop, key_release
from orders.outbox.models import HaltedKey, HeldEvent


class Command(BaseCommand):
    requires_system_checks = (Tags.security,)  # the others load every address, which takes a second
    help = (
        "Events that cannot be sent as they are (too large for their topic, say), and what waits behind them. See "
        "docs/runbooks/outbox-halted.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        ways = parser.add_subparsers(dest="way", required=True)
        ways.add_parser("list", help="the halted keys, and why they are halted")
        for way, what in (
            ("release", "try again: send all that is held of a key, in order"),
            ("drop", "never send the event that was refused; what waits behind it is sent"),
        ):
            way_parser = ways.add_parser(way, help=what)
            way_parser.add_argument("key", help="id of the order, or of the import")
            way_parser.add_argument("--topic", choices=["orders", "imports"], default="orders")
            way_parser.add_argument("--reason", required=True, help="kept with the decision")

    def handle(self, **options: Any) -> None:
        if options["way"] == "list":
            self._list()
            return
        decision = {name: options[name] for name in ("topic", "key", "reason")}
        try:
            if options["way"] == "release":
                key_release(**decision, by=getpass.getuser())
                self.stdout.write("Released: a relay sends what is held, within a second or two.")
            else:
                event_id = event_drop(**decision, by=getpass.getuser())
                self.stdout.write(f"{event_id} was dropped: a relay sends what was held behind it.")
        except (KeyNotHalted, ReasonMissing) as error:
            raise CommandError(str(error)) from error

    def _list(self) -> None:
        held = HeldEvent.objects.filter(topic=OuterRef("topic"), key=OuterRef("key")).order_by()
        counted = held.values("topic", "key").annotate(number=Count("pk")).values("number")
        rows = HaltedKey.objects.annotate(held=Coalesce(Subquery(counted), 0)).order_by("pk")
        for row in rows:
            self.stdout.write(
                f"{row.topic} {row.key}: {row.event_id} since {row.halted_at:%Y-%m-%d %H:%M:%S} UTC, "
                f"{row.attempts} attempts, {row.held} events held\n    {row.reason}"
            )
        if not rows:
            self.stdout.write("Nothing is halted.")
