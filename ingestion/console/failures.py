"""What commands say when they cannot go on: sentences, never a traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError

from config.embedded import EmbeddedError
from config.kernel.errors import ApplicationError
from ingestion.profiles import ProfileError, SettlementError
from ingestion.reader import ReaderError, SourceUnavailable

FAILED = 1
USAGE = 2
NO_TABLE = "42P01"  # undefined_table


class UsageError(Exception):
    """The command line asks for something that cannot be done."""


def say(text: str) -> None:
    """Say something to the person, on standard error."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def reported() -> Iterator[None]:
    """
    Turn the errors a person can do something about into a sentence and an exit status.

    Raises:
        SystemExit: 2 for what is wrong with the command line (files, profile, mapping), 1 for everything else.
    """
    try:
        yield
    except (UsageError, ProfileError, SettlementError, SourceUnavailable) as error:
        say(str(error))
        raise SystemExit(USAGE) from error
    except (ReaderError, ApplicationError, EmbeddedError) as error:
        say(str(error))
        raise SystemExit(FAILED) from error
    except DatabaseError as error:
        say(database_message(error))
        raise SystemExit(FAILED) from error
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(FAILED) from None
    except OSError as error:
        say(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.")
        raise SystemExit(USAGE) from error
    except RuntimeError as error:
        say(f"{error} Run the same command again to go on.")
        raise SystemExit(FAILED) from error


def database_message(error: DatabaseError) -> str:
    """What to do about a database that does not answer, or is not migrated."""
    if getattr(error.__cause__, "pgcode", None) == NO_TABLE:
        return "The database has no tables yet. Run: manage.py migrate"
    detail = str(error).strip().splitlines()
    return (
        f"The database did not do its part: {detail[0] if detail else type(error).__name__} "
        "Whatever was merged stays; run the same command again to go on."
    )
