"""
Task workers: the module that the dramatiq command loads.

    dramatiq config.worker -p 1 -t 8 -Q steps   --worker-shutdown-timeout 20000
    dramatiq config.worker -p 1 -t 1 -Q small   --worker-shutdown-timeout 20000
    dramatiq config.worker -p 1 -t 1 -Q large   --worker-shutdown-timeout 20000

Chunks are the work of processes, with one thread each; steps wait much and have threads. A process that listens to
several queues does small imports first.
"""

import os

# Before polars is imported: workers are as many as processors, so one thread each.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
# A worker may wait longer for Redis than a request.
os.environ.setdefault("TASKS_REDIS_TIMEOUT_SECONDS", "2")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup()

import dramatiq  # noqa: E402

from config.task_metrics import TaskMetrics  # noqa: E402
from ingestion import tasks  # noqa: E402
from ingestion.watch import Watch  # noqa: E402

broker = dramatiq.get_broker()
broker.add_middleware(TaskMetrics())
broker.add_middleware(Watch())

__all__ = ["broker", "tasks"]
