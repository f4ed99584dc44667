"""
A bare loop around a client of Kafka, the least that sending can cost: `python -m benchmarks.bare_producer CLIENT FILE`.

It has the settings of the relay's producers, but neither Django nor a database; what it sends lies in its memory as the
client wants it, and every delivery is looked at, by the callback or future that the client offers. Prints the seconds
from the first send until the last acknowledgement, and the processor time of this process in them.
"""

import gc
import pickle
import sys
import time
from pathlib import Path
from typing import Any, Final

WINDOW: Final = 20_000
Payload = tuple[str, bytes, bytes, list[tuple[str, bytes]], int]
"""Topic, key, value, headers, partition."""


def with_confluent(options: dict[str, Any], payloads: list[Payload]) -> tuple[float, float]:
    from confluent_kafka import Producer

    acknowledged = failed = 0

    def delivered(error: Any, _: Any) -> None:
        nonlocal acknowledged, failed
        if error is None:
            acknowledged += 1
        else:
            failed += 1

    producer = Producer(options)
    producer.list_topics(timeout=30)
    begun, cpu_begun = time.perf_counter(), time.process_time()
    for number, (topic, key, value, headers, partition) in enumerate(payloads):
        producer.produce(topic, value, key, partition, delivered, headers=headers)  # type: ignore[arg-type]
        producer.poll(0)
        if number - acknowledged > WINDOW:
            producer.poll(0.01)
    producer.flush()
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu_begun
    assert (acknowledged, failed) == (len(payloads), 0)
    return seconds, cpu_seconds


def with_kafka_python(options: dict[str, Any], payloads: list[Payload]) -> tuple[float, float]:
    from kafka import KafkaProducer

    producer = KafkaProducer(**options)
    producer.partitions_for(payloads[0][0])
    futures: list[Any] = []
    begun, cpu_begun = time.perf_counter(), time.process_time()
    for topic, key, value, headers, partition in payloads:
        futures.append(producer.send(topic, value, key, headers, partition))
        if len(futures) >= WINDOW:
            for future in futures[: WINDOW // 2]:
                future.get(60)
            del futures[: WINDOW // 2]
    for future in futures:
        future.get(60)
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu_begun
    producer.close()
    return seconds, cpu_seconds


if __name__ == "__main__":
    chosen, path = sys.argv[1:]
    given = pickle.loads(Path(path).read_bytes())
    gc.collect()
    gc.freeze()  # what lies in memory already costs no time, as in the relay
    gc.set_threshold(100_000, 20, 100)
    loop = with_confluent if chosen == "confluent" else with_kafka_python
    print(*loop(given["options"], given["payloads"]))
