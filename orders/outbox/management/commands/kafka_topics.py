"""Show, make and grow the topics."""

from typing import Any, Final

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser
from kafka import KafkaAdminClient

from config.kernel.kafka.admin import TopicState, administration, topic_create, topic_grow, topic_states
from config.kernel.kafka.clients import KafkaUnreachableError
from config.kernel.kafka.topics import NAMES, topic_name
from orders.outbox.partitioning import generation_begin, generations, newest

SPREAD: Final = ("orders", "imports")
"""Topics whose partitions we choose; those of the dead letters follow their origin."""


class Command(BaseCommand):
    requires_system_checks = (Tags.security,)  # the others load every address, which takes a second
    help = (
        "Show our topics. --create makes those that are missing; --partitions gives them more partitions without "
        "tearing orders apart: an order that was placed before keeps its partition, and new ones are spread "
        "over all a minute later. Exit status 1: a topic is missing, or has fewer partitions than events were spread "
        "over."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--create", action="store_true", help="make topics that the broker does not have")
        parser.add_argument(
            "--partitions", type=int, metavar="N", help="grow topics to so many partitions (there is no way back)"
        )

    def handle(self, **options: Any) -> None:
        wanted = options["partitions"]
        if wanted is not None and not 1 <= wanted <= 10_000:
            raise CommandError("--partitions must be from 1 to 10000")
        try:
            with administration() as client:
                states = self._states(client)
                if options["create"]:
                    self._create(client, states)
                if wanted is not None:
                    self._grow(client, self._states(client), wanted)
                good = self._show(self._states(client))
        except KafkaUnreachableError as error:
            raise CommandError(str(error)) from error
        raise SystemExit(0 if good else 1)

    def _states(self, client: KafkaAdminClient) -> dict[str, TopicState | None]:
        found = topic_states(client, [topic_name(topic) for topic in NAMES])
        return {topic: found.get(topic_name(topic)) for topic in NAMES}

    def _create(self, client: KafkaAdminClient, states: dict[str, TopicState | None]) -> None:
        for topic, state in states.items():
            partitions = newest(topic if topic in SPREAD else "orders")
            if state is None:
                topic_create(client, topic_name(topic), partitions=partitions)
                self.stdout.write(f"{topic_name(topic)} was made with {partitions} partitions.")
            if topic in SPREAD and topic not in generations():
                generation_begin(topic=topic, partitions=state.partitions if state else partitions)

    def _grow(self, client: KafkaAdminClient, states: dict[str, TopicState | None], wanted: int) -> None:
        for topic, state in states.items():
            if state is None:
                raise CommandError(f"{topic_name(topic)} does not exist: add --create.")
        if all(state is not None and state.partitions > wanted for state in states.values()):
            raise CommandError("All topics have more partitions; a topic never gets fewer.")
        for topic, state in states.items():
            assert state is not None
            if topic in SPREAD and topic not in generations():
                generation_begin(topic=topic, partitions=state.partitions)
            if state.partitions < wanted:
                topic_grow(client, state.name, partitions=wanted)
            elif state.partitions > wanted:
                self.stdout.write(f"{state.name} has {state.partitions} partitions already and keeps them.")
            if topic in SPREAD and newest(topic) < wanted:
                since = generation_begin(topic=topic, partitions=wanted)
                self.stdout.write(f"{state.name}: orders placed from {since:%Y-%m-%d %H:%M:%S} UTC use {wanted}.")

    def _show(self, states: dict[str, TopicState | None]) -> bool:
        good, known = True, generations()
        for topic, state in states.items():
            name, rows = topic_name(topic), known.get(topic, [])
            if state is None:
                good = False
                self.stdout.write(f"{name}: missing. Make it with --create.")
                continue
            spread = ", ".join(f"{partitions} since {since:%Y-%m-%d %H:%M}" for since, partitions in rows[1:])
            used = f"; events use {rows[0][1]}{f', {spread}' if spread else ''}" if rows else ""
            self.stdout.write(
                f"{name}: {state.partitions} partitions, {state.replicas} replicas, up to {state.max_message_bytes:,} "
                f"bytes{used}"
            )
            if any(partitions > state.partitions for _, partitions in rows):
                good = False
                self.stdout.write("  fewer partitions than events were spread over: add some with --partitions.")
        return good
