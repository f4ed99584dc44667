"""A preview as text."""

from typing import Any, Final

from ingestion.console.numbers import plural, size
from ingestion.preview import Preview

CELL: Final = 32


def preview_text(seen: Preview) -> str:
    """What was detected, the mapping, and the first records."""
    parts = [_detected(seen), _mapping(seen), _records(seen), _errors(seen)]
    return "\n\n".join(part for part in parts if part)


def _detected(seen: Preview) -> str:
    source = seen.opened.source
    measure = f", {size(source.size)}" if source.size is not None else ""
    lines = [f"{source.name} ({source.kind}{measure})"]
    return "\n".join([*lines, *(f"  {name:<10} {why}" for name, why in seen.opened.detection.evidence.items())])


def _mapping(seen: Preview) -> str:
    if seen.settlement is None:
        return "\n".join(["The columns cannot be mapped yet", *(f"  {problem}" for problem in seen.problems)])
    settlement = seen.settlement
    header = settlement.header
    lines = ["Columns"]
    lines += [f"  {field:<13} ← {header[index]}" for field, index in settlement.columns.items()]
    if settlement.unmapped:
        fate = "kept as attributes" if settlement.attributes else "dropped"
        lines.append(f"  not mapped ({fate}): {', '.join(header[index] for index in settlement.unmapped)}")
    if settlement.evidence:
        lines += ["", "Formats", *(f"  {sentence}" for sentence in settlement.evidence)]
    if settlement.warnings:
        lines += ["", "To settle", *(f"  {sentence}" for sentence in settlement.warnings)]
    return "\n".join(lines)


def _records(seen: Preview) -> str:
    if not seen.records:
        return ""
    title = "The first records as they would be loaded" if seen.settlement else "The first records as read"
    names = list(seen.records[0])
    rows = [[_cell(record[name]) for name in names] for record in seen.records]
    widths = [max(len(name), *(len(row[at]) for row in rows)) for at, name in enumerate(names)]
    table = [names, ["─" * width for width in widths], *rows]
    return "\n".join(
        [
            title,
            *(
                "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                for row in table
            ),
        ]
    )


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    text = "".join(char if char.isprintable() else "·" for char in text)
    return text if len(text) <= CELL else text[: CELL - 1] + "…"


def _errors(seen: Preview) -> str:
    lines = [
        f"  record {error.ordinal + 1}, {error.column_name or 'whole record'}: {error.code}: {error.message}"
        for error in seen.errors
    ]
    if seen.ignored:
        lines += [f"  {plural(number, 'record')} ignored: {reason}" for reason, number in seen.ignored.items()]
    return "\n".join([f"Of the first {plural(seen.records_seen, 'record')}", *lines]) if lines else ""
