"""
What became of one record of an imported file: its bytes, its outcome, its order and line, and the order's events.

`trace` finds it, `view` and `text` show it to programs and to people.
"""

from reports.tracing.trace import Trace, record_trace

__all__ = ["Trace", "record_trace"]
