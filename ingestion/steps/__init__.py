"""
What is one worker's job at a time for an import: prepare, plan, predict (a dry run), certify.

`claims` is the claim on the import's row, `run` does whatever waits; each step has a module of its own. Which step an
import needs follows from its row (`steps_waiting` in sql/steps.sql), so any process may do it, and again.
"""

from ingestion.steps.run import run_steps

__all__ = ["run_steps"]
