"""Which group the consumers of an installation are members of."""

from pytest_django import Settings

from reports.management.commands.consume_orders import Command


def group(*arguments: str) -> str:
    return str(Command().create_parser("manage.py", "consume_orders").parse_args(arguments).group)


def test_installations_that_share_a_broker_are_no_group(settings: Settings) -> None:
    assert group() == "sluice.reports"
    settings.KAFKA_TOPIC_PREFIX = "staging."
    assert group() == "staging.sluice.reports"
    assert group("--group", "another") == "another"
