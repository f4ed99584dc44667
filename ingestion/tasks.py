"""
Actors. A message only says that there may be work; what there is to do, and for whom first, is in the database.

Arguments are keyword-only and unknown ones are ignored, so that workers of two releases understand each other.
"""

from typing import Any

import dramatiq

from ingestion import dispatch
from ingestion.slices import chunk_work
from ingestion.steps import run_steps


@dramatiq.actor(actor_name=dispatch.ACTOR_OF[dispatch.STEPS], queue_name=dispatch.STEPS, max_retries=0)
def steps_do(**_: Any) -> None:
    """Prepare, plan, predict, certify: whatever waits."""
    run_steps()


@dramatiq.actor(actor_name=dispatch.ACTOR_OF[dispatch.SMALL], queue_name=dispatch.SMALL, max_retries=0)
def chunks_do_small(**_: Any) -> None:
    """Chunks of small imports."""
    chunk_work.run()


@dramatiq.actor(actor_name=dispatch.ACTOR_OF[dispatch.LARGE], queue_name=dispatch.LARGE, max_retries=0)
def chunks_do_large(**_: Any) -> None:
    """Chunks of large imports."""
    chunk_work.run()
