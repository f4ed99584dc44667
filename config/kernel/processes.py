"""Processes of one command: forked, so that they start in milliseconds with everything imported."""

import ctypes
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Final

from django.db import connections

PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def spawn(target: Callable[[], None], *, name: str) -> BaseProcess:
    """
    Fork a process that runs `target`: Ctrl-C is left to the parent, and it ends with the parent, however that one does.

    Fork before there are threads: the child has none of them, but the locks that they held.
    """
    parent = os.getpid()

    def run() -> None:
        _enter_child(parent)
        target()

    process = get_context("fork").Process(target=run, name=name, daemon=True)
    process.start()
    return process


def die_with_parent() -> None:
    """Ask the kernel to end this process with its parent, however that one ends (Linux; elsewhere a no-op)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _enter_child(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)
    # Only forgotten, not closed: the sockets are the parent's. psycopg closes nothing that another process opened.
    for alias in connections:
        connections[alias].connection = None
