"""
Metrics of task workers.

dramatiq's own middleware decides about the directory only after prometheus_client was imported, and opens the same
port in every `dramatiq` command. With PROMETHEUS_MULTIPROC_DIR the workers' counters meet those of the web processes
(`make up`); in a pod of workers TASK_METRICS_PORT shows them.
"""

import os
import threading
import time
from typing import Any, Final

from dramatiq import Broker, Middleware, Worker
from dramatiq.broker import MessageProxy
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from config.env import env_int
from config.multiprocess import VARIABLE, metrics_directory

LABELS: Final = ("queue", "actor")
# A slice of work takes some seconds; a wake-up that finds nothing, milliseconds.
SECONDS: Final = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

finished: Final = Counter("sluice_tasks", "Task messages worked off, by outcome.", [*LABELS, "outcome"])
running: Final = Gauge("sluice_tasks_running", "Task messages in work.", LABELS, multiprocess_mode="livesum")
durations: Final = Histogram("sluice_task_seconds", "Time spent on one task message.", LABELS, buckets=SECONDS)


class TaskMetrics(Middleware):
    """Counts messages; opens TASK_METRICS_PORT in one process beside the workers."""

    def __init__(self) -> None:
        self._started_at = threading.local()  # a thread works off one message after the other

    @property
    def forks(self) -> list[Any]:
        return [serve_task_metrics] if env_int("TASK_METRICS_PORT", 0) and VARIABLE in os.environ else []

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        self._started_at.value = time.perf_counter()
        running.labels(message.queue_name, message.actor_name).inc()

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        labels = (message.queue_name, message.actor_name)
        running.labels(*labels).dec()
        finished.labels(*labels, "failed" if exception else "done").inc()
        durations.labels(*labels).observe(time.perf_counter() - self._started_at.value)

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        labels = (message.queue_name, message.actor_name)
        running.labels(*labels).dec()
        finished.labels(*labels, "skipped").inc()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        if VARIABLE in os.environ:
            metrics_directory.mark_dead(os.getpid())


def serve_task_metrics() -> None:
    """Show what the workers beside this process have counted, until it is stopped."""
    metrics_directory.forget_dead()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    _, thread = start_http_server(env_int("TASK_METRICS_PORT", 0), registry=registry)
    thread.join()
