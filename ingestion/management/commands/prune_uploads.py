"""Remove what nobody needs any more: expired uploads, blobs left by crashes, idempotency keys, tokens, sessions."""

import signal
import threading
from typing import Any

import structlog
from django.contrib.sessions.backends.db import SessionStore
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandParser
from django.db import OperationalError, close_old_connections
from django.db.models import QuerySet
from knox.models import AuthToken

from config.kernel.api import idempotency
from config.kernel.errors import ApplicationError
from ingestion.clock import utc_now
from ingestion.uploads.pruning import orphans_delete, uploads_expire

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    requires_system_checks = (Tags.security,)  # the others load every address, which takes a second
    help = (
        "Remove the bytes of expired uploads (never while an unfinished import reads them) and blobs that crashes "
        "left; forget old idempotency keys, expired tokens and expired sessions."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--every", type=float, default=None, metavar="SECONDS", help="again and again, until SIGTERM"
        )

    def handle(self, **options: Any) -> None:
        if options["every"] is None:
            self._prune()
            return
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        while not stopped.is_set():
            try:
                self._prune()
            except (OperationalError, ApplicationError, OSError):
                log.exception("pruning_failed")  # the next round tries again
            close_old_connections()
            stopped.wait(options["every"])

    def _prune(self) -> None:
        now = utc_now()
        counts = {
            "uploads": uploads_expire(now=now),
            "orphans": orphans_delete(now=now),
            "idempotency_keys": idempotency.prune(now=now),
            "tokens": _tokens().filter(expiry__lt=now).delete()[0],
        }
        SessionStore.clear_expired()
        log.info("pruned", **counts)
        print(", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items()) + " removed")


def _tokens() -> "QuerySet[Any]":
    found: QuerySet[Any] = AuthToken.objects.all()
    return found
