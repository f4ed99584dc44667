"""A settlement: what one profile means for the files of one import. It is stored, and shown in the certificate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingestion.profiles.numberformats import NumberFormat


@dataclass(frozen=True, kw_only=True)
class SettledFormats:
    """
    How values are read. A text that several formats read differently is ambiguous and rejected.

    Args:
        date_formats: patterns of ingestion.profiles.datepatterns.
        time_zone: IANA zone of times without an offset.
        repeated_time: "reject", "earlier" or "later".
        numbers: more than one where the file did not settle the decimal separator.
        currency_signs: one of them may stand before or after a price.
    """

    date_formats: tuple[str, ...]
    time_zone: str
    repeated_time: str
    numbers: tuple[NumberFormat, ...]
    currency_signs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SettledRules:
    """The rules that decide whether a record is valid; explained at ingestion.profiles.definition.Rules."""

    guests: bool
    returns: bool
    zero_prices: bool
    negative_prices: bool
    price_required: bool
    continuation: bool
    allow_scientific: bool


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """
    Header and formats of an import, settled once before its first record is read.

    Args:
        profile: the profile's name.
        header: column names as in the file.
        columns: field → 0-based column.
        templates: field → literal texts and 0-based columns, in order; such a field is in no `columns`.
        prefixes: field (order_id, user_id, sku) → text put before the id; only non-empty ones.
        defaults: field → text used where the column is missing or blank.
        unmapped: 0-based columns that fill no field.
        attributes: unmapped column → its key in the attributes; empty when they are dropped.
        evidence: sentences that say why, for the preview and the certificate.
        warnings: sentences about what stayed undecided.
    """

    profile: str
    header: tuple[str, ...]
    columns: Mapping[str, int]
    formats: SettledFormats
    rules: SettledRules
    templates: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)
    prefixes: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    unmapped: tuple[int, ...] = ()
    attributes: Mapping[int, str] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def column_of(self, name: str) -> int | None:
        """The 0-based column that best stands for a field: its own, or the first of its template."""
        if name in self.columns:
            return self.columns[name]
        return next((part for part in self.templates.get(name, ()) if isinstance(part, int)), None)

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe and complete; `from_dict` gives back an equal settlement."""
        formats = {**vars(self.formats), "date_formats": list(self.formats.date_formats)}
        formats["numbers"] = [[style.decimal, style.thousands] for style in self.formats.numbers]
        formats["currency_signs"] = list(self.formats.currency_signs)
        return {
            "profile": self.profile,
            "header": list(self.header),
            "columns": dict(sorted(self.columns.items())),
            "formats": formats,
            "rules": dict(vars(self.rules)),
            "templates": {name: list(parts) for name, parts in sorted(self.templates.items())},
            "prefixes": dict(sorted(self.prefixes.items())),
            "defaults": dict(sorted(self.defaults.items())),
            "unmapped": list(self.unmapped),
            "attributes": {str(index): name for index, name in sorted(self.attributes.items())},
            "evidence": list(self.evidence),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Settlement:
        """The settlement that `as_dict` wrote."""
        formats = data["formats"]
        return cls(
            profile=data["profile"],
            header=tuple(data["header"]),
            columns=dict(data["columns"]),
            formats=SettledFormats(
                date_formats=tuple(formats["date_formats"]),
                time_zone=formats["time_zone"],
                repeated_time=formats["repeated_time"],
                numbers=tuple(NumberFormat(decimal, thousands) for decimal, thousands in formats["numbers"]),
                currency_signs=tuple(formats["currency_signs"]),
            ),
            rules=SettledRules(**data["rules"]),
            templates={name: tuple(parts) for name, parts in data["templates"].items()},
            prefixes=dict(data["prefixes"]),
            defaults=dict(data["defaults"]),
            unmapped=tuple(data["unmapped"]),
            attributes={int(index): name for index, name in data["attributes"].items()},
            evidence=_sentences(data["evidence"]),
            warnings=_sentences(data["warnings"]),
        )

    def canonical_json(self) -> str:
        """What the settlement does, without name and explanations: equal text means equal treatment of every record."""
        data = self.as_dict()
        meaning = {key: data[key] for key in data if key not in ("profile", "evidence", "warnings")}
        return json.dumps(meaning, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _sentences(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(values)
