"""What the broker says of our topics, and how they are made and grow. By kafka-python, whichever client sends."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, NewPartitions, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError

from config.kernel.kafka.clients import KafkaUnreachableError, kafka_python_settings, replication_factor

GROWN_SECONDS: Final = 30.0
DEFAULT_MAX_MESSAGE_BYTES: Final = 1_048_588
"""What a broker takes that does not tell (the embedded one)."""


@dataclass(frozen=True)
class TopicState:
    """
    A topic as the broker has it.

    Args:
        name: on the broker.
        partitions: how many.
        replicas: of the partition with the fewest.
        max_message_bytes: how large a batch of records may be.
    """

    name: str
    partitions: int
    replicas: int
    max_message_bytes: int


@contextmanager
def administration() -> Iterator[KafkaAdminClient]:
    """
    A client for the functions below.

    Raises:
        KafkaUnreachableError: no broker answers, or it refuses us.
    """
    try:
        client = KafkaAdminClient(**kafka_python_settings(client_id="sluice-admin"))
    except (KafkaError, OSError) as error:
        raise KafkaUnreachableError(f"Kafka cannot be reached: {error}") from error
    try:
        yield client
    except (KafkaError, OSError) as error:
        raise KafkaUnreachableError(f"Kafka does not do what it is asked: {error}") from error
    finally:
        client.close()


def topic_states(client: KafkaAdminClient, names: Iterable[str]) -> dict[str, TopicState]:
    """Those of the topics that exist, by their names on the broker."""
    found = {
        topic["name"]: topic["partitions"] for topic in client.describe_topics(list(names)) if not topic["error_code"]
    }
    limits = _max_message_bytes(client, found)
    return {
        name: TopicState(
            name=name,
            partitions=len(partitions),
            replicas=min((len(each["replica_nodes"]) for each in partitions), default=0),
            max_message_bytes=limits.get(name, DEFAULT_MAX_MESSAGE_BYTES),
        )
        for name, partitions in found.items()
    }


def topic_create(client: KafkaAdminClient, name: str, *, partitions: int) -> None:
    """Make a topic and wait until the broker knows it; one that exists is left as it is."""
    try:
        client.create_topics([NewTopic(name, partitions, replication_factor())], wait_for_metadata=True)
    except TopicAlreadyExistsError:
        return


def topic_grow(client: KafkaAdminClient, name: str, *, partitions: int) -> None:
    """
    Give a topic more partitions, and wait until the broker tells of them; there is no way back.

    Raises:
        KafkaUnreachableError: they did not appear in time.
    """
    client.create_partitions({name: NewPartitions(partitions)})
    until = time.monotonic() + GROWN_SECONDS
    while topic_states(client, [name])[name].partitions < partitions:
        if time.monotonic() > until:
            raise KafkaUnreachableError(f"{name} was given {partitions} partitions, but does not show them. Try again.")
        time.sleep(0.1)


def _max_message_bytes(client: KafkaAdminClient, names: Iterable[str]) -> dict[str, int]:
    resources = [ConfigResource("topic", name) for name in names]
    if not resources:
        return {}
    try:
        answer = client.describe_configs(resources, config_filter="all").get("topic", {})
    except UnknownTopicOrPartitionError:
        return {}
    except KafkaError as error:
        if "does not support" in str(error) or "uthoriz" in str(error):
            return {}  # not told is not forbidden: the default is nearly always right, and a refusal is noticed
        raise
    return {
        name: int(settings["max.message.bytes"]["value"])
        for name, settings in answer.items()
        if "max.message.bytes" in settings
    }
