"""
Takes the chunks of one import through read → validate → resolve → merge.

`chunks` is the worker itself; `reading`, `resolving` and `merging` are what it does with a chunk, `turns` says when it
may, `fencing` whether it still may.
"""

from ingestion.worker.chunks import ChunkWorker
from ingestion.worker.work import OpenSource, Work, open_for_work

__all__ = ["ChunkWorker", "OpenSource", "Work", "open_for_work"]
