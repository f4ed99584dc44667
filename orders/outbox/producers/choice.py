"""Which client sends."""

from django.conf import settings

from orders.outbox.producers.interface import Producer


def make_producer(limits: dict[str, int]) -> Producer:
    """
    The client that OUTBOX_PRODUCER names, connected.

    Args:
        limits: of each topic ("orders", "imports"), how many bytes a batch may have on the broker.
    Raises:
        UnrecoverableError: no broker answers.
    """
    if settings.OUTBOX_PRODUCER == "confluent":
        from orders.outbox.producers.confluent import ConfluentProducer

        return ConfluentProducer(limits)
    from orders.outbox.producers.kafka_python import KafkaPythonProducer

    return KafkaPythonProducer(limits)
