"""What cannot be sent: list keys and lanes that are halted, and say how they go on."""

import getpass
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

from orders.outbox.halted_lanes import EntryNotNext, LaneNotHalted, entry_skip, lane_resume
from orders.outbox.halting import KeyNotHalted, ReasonMissing, event_drop, key_release
from orders.outbox.models import HaltedKey, HeldEvent, Lane


class Command(BaseCommand):
    requires_system_checks = (Tags.security,)  # the others load every address, which takes a second
    help = (
        "Events that cannot be sent as they are (too large for their topic, say), and what waits behind them; lanes "
        "in which something cannot be read. See "
        "docs/runbooks/outbox-halted.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        ways = parser.add_subparsers(dest="way", required=True)
        ways.add_parser("list", help="the halted keys and lanes, and why they are halted")
        for way, what in (
            ("release", "try again: send all that is held of a key, in order"),
            ("drop", "never send the event that was refused; what waits behind it is sent"),
        ):
            way_parser = ways.add_parser(way, help=what)
            way_parser.add_argument("key", help="id of the order, or of the import")
            way_parser.add_argument("--topic", choices=["orders", "imports"], default="orders")
            way_parser.add_argument("--reason", required=True, help="kept with the decision")

        lane_parser = ways.add_parser("lane", help="let a halted lane go on where it was")
        lane_parser.add_argument("lane", type=int, help="its number")
        lane_parser.add_argument("--reason", required=True, help="kept with the decision")
        lane_parser.add_argument(
            "--skip", type=int, metavar="ENTRY", help="never send this entry, before which the lane is halted"
        )

    def handle(self, **options: Any) -> None:
        if options["way"] == "list":
            self._list()
            return
        if options["way"] == "lane":
            self._let_go_on(options["lane"], options["skip"], options["reason"])
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

    def _let_go_on(self, lane: int, skipped: int | None, reason: str) -> None:
        try:
            if skipped is None:
                lane_resume(lane=lane, reason=reason, by=getpass.getuser())
            else:
                entry_skip(lane=lane, entry=skipped, reason=reason, by=getpass.getuser())
        except (LaneNotHalted, EntryNotNext, ReasonMissing) as error:
            raise CommandError(str(error)) from error
        without = "" if skipped is None else f" without entry {skipped}"
        self.stdout.write(f"Lane {lane}: a relay goes on{without}, within a few seconds.")

    def _list(self) -> None:
        held = HeldEvent.objects.filter(topic=OuterRef("topic"), key=OuterRef("key")).order_by()
        counted = held.values("topic", "key").annotate(number=Count("pk")).values("number")
        rows = HaltedKey.objects.annotate(held=Coalesce(Subquery(counted), 0)).order_by("pk")
        for row in rows:
            self.stdout.write(
                f"{row.topic} {row.key}: {row.event_id} since {row.halted_at:%Y-%m-%d %H:%M:%S} UTC, "
                f"{row.attempts} attempts, {row.held} events held\n    {row.reason}"
            )
        lanes = Lane.objects.exclude(halted_reason="").order_by("lane")
        for lane in lanes:
            self.stdout.write(f"lane {lane.lane}\n    {lane.halted_reason}")
        if not rows and not lanes:
            self.stdout.write("Nothing is halted.")
