"""The report at the end of an import, for people."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ingestion import states
from ingestion.console.numbers import duration, plural, size

EXAMPLES_SHOWN: Final = 2
RAW_SHOWN: Final = 120
HEADLINES: Final = {
    states.COMPLETED: "Import {id} is complete: every record was accounted for.",
    states.COMPLETED_WITH_REJECTS: "Import {id} is complete, with rejects: every record was accounted for.",
    states.FAILED: "Import {id} failed.",
    states.CANCELLED: "Import {id} was cancelled.",
    states.PAUSED: "Import {id} is paused.",
}


def report(
    certificate: dict[str, Any],
    *,
    examples: Sequence[dict[str, Any]],
    files: Sequence[Path],
    publishing: dict[str, Any] | None = None,
    dry_run: bool = False,
) -> str:
    """
    The whole report as text.

    Args:
        certificate: see `ingestion.stages.certify`.
        examples: the first reject of each code, see `ingestion.selectors.reject_examples`.
        files: the reject files that were written.
        publishing: see `ingestion.standing.publishing_entry`; None: nothing is said of events.
    """
    parts = [
        _headline(certificate, dry_run=dry_run),
        _what_came_in(certificate),
        _outcomes(certificate),
        _facts(certificate, dry_run=dry_run),
        _rejects(certificate, examples),
        _speed(certificate),
        _events(publishing),
        _next_steps(certificate, files, dry_run=dry_run),
    ]
    return "\n\n".join(part for part in parts if part)


def _headline(certificate: dict[str, Any], *, dry_run: bool) -> str:
    if dry_run:
        return "Dry run: this is what an import would do. Nothing was written."
    text = HEADLINES.get(certificate["state"], "Import {id} is {state}.")
    lines = [text.format(id=certificate["import_id"], state=certificate["state"])]
    if certificate["reason"]:
        lines.append(certificate["reason"])
    return "\n".join(lines)


def _what_came_in(certificate: dict[str, Any]) -> str:
    lines = ["What came in"]
    for source in certificate["sources"]:
        dialect = source["dialect"]
        read = plural(source["records"], "record") if source["records"] is not None else "not read to the end"
        measure = size(source["bytes"]) if source["bytes"] else ""
        how = f"{dialect['encoding']}, {_character(dialect['delimiter'])} between {len(dialect['header'])} columns"
        lines.append("  " + ", ".join(part for part in (f"{source['name']}: {read}", measure, how) if part))
    lines.append(f"  profile {certificate['profile']}")
    return "\n".join(lines)


def _character(delimiter: str) -> str:
    return {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}.get(delimiter, delimiter)


def _outcomes(certificate: dict[str, Any]) -> str:
    rows = [
        (name, certificate[name]) for name in ("loaded", "unchanged", "skipped", "rejected", "ignored", "unprocessed")
    ]
    rows = [(name, number) for name, number in rows if number or name in ("loaded", "rejected")]
    width = max(len(f"{number:,}") for _, number in [*rows, ("", certificate["records"])])
    lines = ["What became of the records"]
    for name, number in rows:
        why = ""
        if name == "ignored":
            reasons = certificate["ignored_reasons"].items()
            why = "  (" + ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in reasons) + ")"
        lines.append(f"  {number:>{width},}  {name}{why}")
    lines.append(f"  {'─' * width}")
    verdict = "records read; the books balance" if certificate["balanced"] else "records read; THE BOOKS DO NOT BALANCE"
    lines.append(f"  {certificate['records']:>{width},}  {verdict}")
    return "\n".join(lines)


def _facts(certificate: dict[str, Any], *, dry_run: bool) -> str:
    kinds = []
    for kind, names in (
        ("users", ("inserted", "updated")),
        ("items", ("inserted", "updated")),
        ("orders", ("inserted", "updated", "continued")),
        ("lines", ("inserted", "updated", "deleted")),
    ):
        told = [f"{certificate[f'{kind}_{name}']:,} {name}" for name in names if certificate.get(f"{kind}_{name}")]
        kinds.append(f"  {kind:<7} {', '.join(told) or 'nothing new'}")
    if certificate.get("roles_granted"):
        kinds.append(f"  roles   {certificate['roles_granted']:,} granted")
    lines = ["What would be written" if dry_run else "What was written", *kinds]
    disagreements = {kind: certificate.get(f"{kind}_disagreements", 0) for kind in ("user", "item", "order")}
    told = [
        plural(number, f"value of {kind}s", f"values of {kind}s") for kind, number in disagreements.items() if number
    ]
    if told:
        lines.append(f"  {', '.join(told)} disagreed with an earlier record, which won")
    return "\n".join(lines)


def _rejects(certificate: dict[str, Any], examples: Sequence[dict[str, Any]]) -> str:
    if not certificate["errors"]:
        return ""
    by_code = {example["code"]: example for example in examples}
    causes = sorted(certificate["errors"].items(), key=lambda entry: -entry[1])
    width = max(len(f"{number:,}") for _, number in causes)
    lines = ["Why records were rejected"]
    lines += [f"  {number:>{width},}  {code}" for code, number in causes]
    shown = [by_code[code] for code, _ in causes if code in by_code][:EXAMPLES_SHOWN]
    for example in shown:
        where = f"record {example['record']:,}, line {example['line']:,}"
        column = f", column {example['column_name']}" if example["column_name"] else ""
        lines += ["", f"  {where}{column}: {example['message']}"]
        if example["raw"] is not None:
            lines.append(f"    {_shown(bytes(example['raw']))}")
    return "\n".join(lines)


def _shown(raw: bytes) -> str:
    text = raw.decode("utf-8", errors="replace").rstrip("\r\n")
    text = "".join(char if char.isprintable() else "·" for char in text)
    return text if len(text) <= RAW_SHOWN else text[: RAW_SHOWN - 1] + "…"


def _speed(certificate: dict[str, Any]) -> str:
    if not certificate["seconds"] or not certificate["records_per_second"] or certificate["unprocessed"]:
        return ""
    return (
        f"How fast\n  {duration(certificate['seconds'])}, {certificate['records_per_second']:,} records/s, "
        f"{size(certificate['bytes_per_second'])}/s"
    )


def _events(publishing: dict[str, Any] | None) -> str:
    """Apart from how long loading took: it does not wait for the relay."""
    if publishing is None or not publishing["events"]:
        return ""
    events = plural(publishing["events"], "event")
    if publishing["published_at"] is not None:
        text = f"{events}, the last one in Kafka {duration(publishing['seconds_after_load'])} after loading"
    else:
        text = f"{publishing['events_published']:,} of {events} in Kafka so far; relay_outbox sends the rest"
    return f"What others were told\n  {text}"


def _next_steps(certificate: dict[str, Any], files: Sequence[Path], *, dry_run: bool) -> str:
    lines = []
    if files:
        lines.append("Where the files are")
        lines += [f"  {path}" for path in files]
    failed = [path for path in files if path.name.startswith("failed")]
    if failed and not dry_run and certificate["state"] in states.SUCCEEDED:
        lines += [
            "",
            "Mend the records in place and load them again as a part of this import:",
            f"  manage.py ingest_csv {failed[0]} --parent {certificate['import_id']}",
        ]
    stopped = certificate.get("stopped")
    ended = certificate["state"] in (states.FAILED, states.CANCELLED)
    if ended and certificate["unprocessed"] and stopped and stopped["first_unprocessed"]:
        first = stopped["first_unprocessed"]
        lines.append(
            f"Not processed from byte {first['offset']:,} (line {first['first_line']:,}) of {first['name']} on; "
            "what was merged before stays."
        )
    return "\n".join(lines)
