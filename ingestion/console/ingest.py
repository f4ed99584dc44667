"""The command `ingest_csv`: from options to an exit status."""

import hashlib
import json
import os
import re
import shlex
import signal
import sys
import time
import uuid
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, cast

from django.conf import settings

from ingestion import states
from ingestion.clock import utc_now
from ingestion.console.failures import UsageError, reported, say
from ingestion.console.progress import make_display
from ingestion.console.report import report
from ingestion.dryrun import dry_run
from ingestion.models import Import, Source as SourceRow
from ingestion.prepare import prepare
from ingestion.processes import call_in_process
from ingestion.profiles import Profile, load_profile
from ingestion.reader import Source
from ingestion.rejectfiles import write_reject_files
from ingestion.runner import ImportRunner
from ingestion.selectors import reject_examples
from ingestion.services import PreparedSource, import_find_or_create, may_set_replica_role
from ingestion.standing import publishing_entry

OK: Final = 0
FAILED: Final = 1
WITH_REJECTS: Final = 3
INTERRUPTED: Final = 130
EXIT_STATUS: Final = {
    states.COMPLETED: OK,
    states.COMPLETED_WITH_REJECTS: WITH_REJECTS,
    states.PAUSED: INTERRUPTED,
}
GRANT: Final = (
    "This database role may not set session_replication_role, so Postgres checks every foreign key row by row, which "
    "takes about twice the time. A superuser can mend that: GRANT SET ON PARAMETER session_replication_role TO {role};"
)
STDIN: Final = "-"
REJECT_FILE: Final = re.compile(r"(failed(-\d+)?|errors)\.csv")


def mapping_option(text: str) -> tuple[str, str]:
    """The argument of --map, for argparse."""
    field, found, column = text.partition("=")
    if not found or not field.strip():
        raise ArgumentTypeError(f"{text!r} should be FIELD=COLUMN, for instance order_id=InvoiceNo")
    return field.strip(), column.strip()


def at_least(minimum: int) -> Callable[[str], int]:
    """A whole number of at least `minimum`, for argparse."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < minimum:
            raise ArgumentTypeError(f"must be at least {minimum}")
        return value

    return number


@dataclass(frozen=True)
class IngestOptions:
    """The options of `ingest_csv`; None: the profile decides."""

    sources: list[str]
    profile: str = "sluice"
    mapping: dict[str, str] = field(default_factory=dict)
    on_conflict: str | None = None
    workers: int | None = None
    max_errors: int | None = None
    max_error_ratio: float | None = None
    dry_run: bool = False
    force: bool = False
    rejects: str | None = None
    parent: int | None = None
    json: bool = False


def ingest(options: IngestOptions) -> int:
    """
    Run the command.

    Returns:
        the exit status: 0 all loaded, 3 with rejects, 1 failed, 130 paused.
    Raises:
        SystemExit: 2 usage, 1 failed before anything began.
    """
    started = time.monotonic()
    with reported(), interruptible() as interrupted:
        return _Ingest(options, started=started, interrupted=interrupted).run()


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """
    Ctrl-C and SIGTERM ask for a pause; a second one ends the command at once.
    """
    received: list[int] = []

    def note(number: int, _frame: Any) -> None:
        received.append(number)
        if len(received) > 1:
            os._exit(INTERRUPTED)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Ingest:
    def __init__(self, options: IngestOptions, *, started: float, interrupted: Callable[[], bool]) -> None:
        self._options = options
        self._started = started
        self._interrupted = interrupted
        self._spooled: list[Path] = []

    def run(self) -> int:
        profile = self._profile()
        self._check_reject_directory()
        prepared = self._prepare(profile)
        for warning in dict.fromkeys(text for source in prepared for text in source.evidence["warnings"]):
            say(f"Note: {warning}")
        if self._adds_lines_silently(profile, prepared):
            say(
                "Note: without a line_no column lines are numbered by their record, so records that moved within the "
                "file become new lines of existing orders. Map line_no, or set rules.replace_lines."
            )
        if self._options.dry_run:
            return self._dry_run(prepared, profile)
        owner, created = import_find_or_create(
            sources=prepared, profile=profile, parent_id=self._options.parent, force=self._options.force, now=utc_now()
        )
        if not created and owner.state in states.SUCCEEDED:
            if self._same_bytes(owner, prepared):
                return self._same_import(owner)
            owner, created = import_find_or_create(
                sources=prepared, profile=profile, parent_id=self._options.parent, force=True, now=utc_now()
            )
        return self._run_import(owner, prepared, created=created)

    def _profile(self) -> Profile:
        options = self._options
        if options.sources.count(STDIN) > 1:
            raise UsageError("Standard input can be read only once.")
        profile = load_profile(options.profile)
        if options.mapping:
            profile = profile.with_mapping(options.mapping)
        return profile.with_rules(
            on_conflict=options.on_conflict, max_errors=options.max_errors, max_error_ratio=options.max_error_ratio
        )

    def _adds_lines_silently(self, profile: Profile, prepared: list[PreparedSource]) -> bool:
        rules = profile.rules
        mapped = all("line_no" in source.settlement["columns"] for source in prepared)
        return rules.on_conflict == "update" and not (rules.replace_lines or mapped or self._options.parent)

    def _check_reject_directory(self) -> None:
        """Before anything is imported: it can be written to, and no source stands where a reject file would."""
        if self._options.rejects is None:
            return
        directory = Path(self._options.rejects)
        directory.mkdir(parents=True, exist_ok=True)
        taken = sources_among_rejects(self._options.sources, directory)
        if taken is not None:
            raise UsageError(f"{taken} is a source, and the rejects would replace it: choose another --rejects.")

    # Sources

    def _prepare(self, profile: Profile) -> list[PreparedSource]:
        spool = settings.LOCAL_DIR / "spool"
        names: dict[str, str] = {}
        paths = []
        for source in self._options.sources:
            path = source
            if source == STDIN:
                path = str(self._spool_stdin(spool))
                names[path] = "standard input"
            paths.append(path)
        return call_in_process(
            lambda: prepare(paths, profile=profile, spool_directory=spool, shown_names=names), name="prepare"
        )

    def _spool_stdin(self, spool: Path) -> Path:
        """Workers read byte ranges, so standard input is first written to a file."""
        say("Reading standard input. An import of standard input cannot be resumed by running the command again.")
        spool.mkdir(parents=True, exist_ok=True)
        path = spool / f"stdin-{uuid.uuid4().hex}"
        self._spooled.append(path)
        with path.open("wb") as out:
            stdin = cast(BufferedReader, sys.stdin.buffer)
            while block := stdin.read1(1 << 20):
                out.write(block)
                if self._interrupted():
                    raise UsageError("Interrupted before standard input had ended; nothing was imported.")
        return path

    def _same_bytes(self, owner: Import, prepared: list[PreparedSource]) -> bool:
        """The quick fingerprint matched; only the SHA-256 of all bytes makes it certain."""
        known = list(SourceRow.objects.filter(owner=owner).order_by("number").values_list("sha256", flat=True))
        return known == [sha256_of(source) for source in prepared]

    def _same_import(self, owner: Import) -> int:
        say(
            f"These bytes were imported with the same options already, as import {owner.pk} ({owner.state}). "
            "Nothing was done; --force imports them again."
        )
        self._discard(owner)
        certificate = dict(owner.certificate or {})
        self._show(certificate, owner=owner, again=True)
        return EXIT_STATUS.get(owner.state, FAILED)

    # Running

    def _run_import(self, owner: Import, prepared: list[PreparedSource], *, created: bool) -> int:
        if not created:
            self._reopen(owner, prepared)
        if not may_set_replica_role():
            say(GRANT.format(role=settings.DATABASES["default"].get("USER") or "CURRENT_USER"))
        say(f"Import {owner.pk}: {'starting' if created else 'going on with it'}")
        known = [size for source in prepared if (size := source.descriptor.get("size"))]
        display = make_display(total_bytes=sum(known) if len(known) == len(prepared) else None)
        runner = ImportRunner(
            import_id=owner.pk,
            workers=self._options.workers or len(os.sched_getaffinity(0)),
            identities={number: source.identity for number, source in enumerate(prepared)},
            show=display.show,
            interrupted=self._interrupted,
        )
        try:
            certificate = runner.run(started=self._started)
        finally:
            display.close()
        owner.refresh_from_db()
        if owner.state == states.PAUSED:
            self._say_how_to_go_on(owner, certificate)
        self._show(certificate, owner=owner)
        if owner.state in states.ENDED:
            self._discard(owner)
        return EXIT_STATUS.get(owner.state, FAILED)

    def _reopen(self, owner: Import, prepared: list[PreparedSource]) -> None:
        """The file may lie elsewhere now; what was settled about it stays as it was."""
        for row, source in zip(SourceRow.objects.filter(owner=owner).order_by("number"), prepared, strict=True):
            kept = {name: row.descriptor[name] for name in ("spool", "size") if name in row.descriptor}
            row.descriptor = {**source.descriptor, **kept}
            row.save(update_fields=["descriptor"])

    def _say_how_to_go_on(self, owner: Import, certificate: dict[str, Any]) -> None:
        done = certificate["records"] - certificate["unprocessed"]
        say(f"Paused: {done:,} records are merged and stay.")
        if STDIN in self._options.sources:
            say(f"Standard input cannot be resumed. Cancel import {owner.pk} and load the data again from a file.")
        else:
            say(f"To go on, run the same command again: manage.py {shlex.join(sys.argv[1:])}")

    def _dry_run(self, prepared: list[PreparedSource], profile: Profile) -> int:
        display = make_display(total_bytes=None)
        try:
            outcome = dry_run(
                sources=prepared,
                profile=profile,
                parent_id=self._options.parent,
                show=display.show,
                directory=Path(self._options.rejects) if self._options.rejects else None,
            )
        finally:
            display.close()
        outcome.certificate["seconds"] = round(time.monotonic() - self._started, 3)
        for source in prepared:
            Source.from_descriptor(source.descriptor).discard()
        self._remove_spooled()
        if self._options.json:
            print(json.dumps(outcome.certificate, indent=2, ensure_ascii=False))
        else:
            print(report(outcome.certificate, examples=outcome.examples, files=outcome.files, dry_run=True))
        return EXIT_STATUS.get(outcome.certificate["state"], FAILED)

    # Results

    def _show(self, certificate: dict[str, Any], *, owner: Import, again: bool = False) -> None:
        files: list[Path] = []
        if certificate.get("rejected"):
            directory = Path(self._options.rejects or Path("sluice-rejects") / str(owner.pk))
            while sources_among_rejects(self._options.sources, directory) is not None:
                directory = directory / "again"
            # Somebody may be mending what an earlier run wrote.
            if not (again and directory.joinpath("errors.csv").exists()):
                files = write_reject_files(owner=owner, directory=directory)
        text = report(
            certificate,
            examples=reject_examples(import_id=owner.pk),
            files=files,
            publishing=publishing_entry(owner),
        )
        if self._options.json:
            say(text)
            print(json.dumps(certificate, indent=2, ensure_ascii=False))
        else:
            print(text)

    def _discard(self, owner: Import) -> None:
        """Decompressed copies are needed no longer."""
        for row in SourceRow.objects.filter(owner=owner):
            Source.from_descriptor(row.descriptor).discard()
        self._remove_spooled()

    def _remove_spooled(self) -> None:
        for path in self._spooled:
            path.unlink(missing_ok=True)


def sources_among_rejects(sources: list[str], directory: Path) -> str | None:
    """A source that is a file which the rejects in this directory would replace."""
    for source in sources:
        path = Path(source)
        if REJECT_FILE.fullmatch(path.name) and directory.exists() and path.parent.resolve() == directory.resolve():
            return source
    return None


def sha256_of(source: PreparedSource) -> str:
    """SHA-256 of all decompressed bytes of a source."""
    digest = hashlib.sha256()
    reader = Source.from_descriptor(source.descriptor)
    for block in reader.blocks():
        digest.update(block)
    return digest.hexdigest()
