"""Where a profile meets a file: header → columns, samples → formats."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from ingestion.profiles.definition import Profile
from ingestion.profiles.errors import Problem, SettlementError
from ingestion.profiles.evidence import Findings, settle_dates, settle_numbers, settle_signs
from ingestion.profiles.fields import EDGES, FIELDS
from ingestion.profiles.numberformats import strip_sign
from ingestion.profiles.parsing import template_parts
from ingestion.profiles.settlement import SettledFormats, SettledRules, Settlement
from ingestion.profiles.synonyms import normalise, rank

if TYPE_CHECKING:
    from ingestion.reader.dialect import Dialect

MAX_SAMPLES: Final = 20_000


def settle(profile: Profile, dialect: Dialect, sample_tables: Sequence[pl.DataFrame]) -> Settlement:
    """
    Find the column of every field and the format of every kind of value.

    Args:
        sample_tables: tables of a Batch from the beginning (and, where cheap, other places) of the files: text
            columns c0, c1, … as read. More samples settle more.
    Raises:
        SettlementError: required fields without a column, or fields that several columns claim; the problems say
            which option settles it.
    """
    return settle_header(profile, dialect.header, sample_tables)


def settle_header(profile: Profile, header: Sequence[str], sample_tables: Sequence[pl.DataFrame]) -> Settlement:
    """As `settle`, for a bare header."""
    search = _Search(profile, tuple(header))
    search.run()
    if search.problems:
        raise SettlementError(source=profile.name, problems=search.problems, header=header)
    findings = Findings(evidence=search.evidence, warnings=search.warnings)
    used = {*search.columns.values(), *(part for parts in search.templates.values() for part in parts)}
    unmapped = tuple(index for index in range(len(header)) if index not in used)
    formats = _formats(profile, search.columns, sample_tables, findings)
    kept = profile.rules.unmapped == "attributes"
    return Settlement(
        profile=profile.name,
        header=tuple(header),
        columns=dict(search.columns),
        formats=formats,
        rules=_rules(profile),
        templates=search.templates,
        prefixes=_prefixes(profile),
        defaults=dict(profile.defaults),
        unmapped=unmapped,
        attributes=_attribute_names(header, unmapped) if kept else {},
        evidence=tuple(findings.evidence),
        warnings=tuple(findings.warnings),
    )


def _rules(profile: Profile) -> SettledRules:
    rules = profile.rules
    return SettledRules(
        guests=rules.guests == "allow",
        returns=rules.returns == "allow",
        zero_prices=rules.zero_prices == "allow",
        negative_prices=rules.negative_prices == "allow",
        price_required=rules.price_required,
        continuation=rules.continuation,
        allow_scientific=profile.ids.allow_scientific,
    )


def _prefixes(profile: Profile) -> dict[str, str]:
    ids = profile.ids
    given = {"order_id": ids.order_prefix, "user_id": ids.user_prefix, "sku": ids.item_prefix}
    return {name: prefix for name, prefix in given.items() if prefix}


def _attribute_names(header: Sequence[str], unmapped: Sequence[int]) -> dict[int, str]:
    names: dict[int, str] = {}
    for index in unmapped:
        name = base = header[index].strip() or f"column {index + 1}"
        copies = 1
        while name in names.values():
            copies += 1
            name = f"{base} ({copies})"
        names[index] = name
    return names


def _formats(
    profile: Profile, columns: Mapping[str, int], tables: Sequence[pl.DataFrame], findings: Findings
) -> SettledFormats:
    def samples(name: str) -> list[str]:
        return _samples(tables, columns[name]) if name in columns else []

    prices = samples("unit_price")
    signs = settle_signs(prices, profile.formats, findings)
    numbers = [strip_sign(price, signs) for price in prices] + samples("quantity")
    return SettledFormats(
        date_formats=settle_dates(samples("ordered_at"), profile.formats, findings),
        time_zone=profile.formats.time_zone,
        repeated_time=profile.formats.repeated_time,
        numbers=settle_numbers(numbers, profile.formats, findings),
        currency_signs=tuple(sorted(signs, key=lambda sign: (-len(sign), sign))),
    )


def _samples(tables: Sequence[pl.DataFrame], column: int) -> list[str]:
    """Distinct trimmed non-blank values in order of appearance."""
    found: dict[str, None] = {}
    for table in tables:
        for value in table[f"c{column}"].unique(maintain_order=True).to_list():
            text = value.strip(EDGES)
            if text:
                found[text] = None
            if len(found) >= MAX_SAMPLES:
                return list(found)
    return list(found)


@dataclass
class _Search:
    """The search for the column of every field."""

    profile: Profile
    header: tuple[str, ...]
    columns: dict[str, int] = field(default_factory=dict)
    templates: dict[str, tuple[str | int, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def run(self) -> None:
        for name, template in self.profile.templates.items():
            self._template(name, template)
        for name, names in self.profile.mapping.items():
            self._explicit(name, names)
        if self.profile.rules.synonyms:
            self._suggest()
        self._require()

    def _template(self, name: str, template: str) -> None:
        parts: list[str | int] = []
        for literal, column in template_parts(template):
            if literal:
                parts.append(literal)
            if column is not None:
                index = self._one(f"templates.{name}", column)
                parts.append(-1 if index is None else index)
        self.templates[name] = tuple(parts)

    def _explicit(self, name: str, names: Sequence[str]) -> None:
        if name in self.profile.strict:
            index = self._one(f"mapping.{name}", names[0])
        else:
            present = [column for column in names if self._places(column)]
            index = self._one(f"mapping.{name}", present[0]) if present else None
        if index is not None:
            self.columns[name] = index

    def _one(self, path: str, column: str) -> int | None:
        places = self._places(column)
        if len(places) == 1:
            return places[0]
        if places:
            numbers = " or ".join(f'"#{place + 1}"' for place in places)
            self.problems.append(Problem(path, f'there are {len(places)} columns "{column}"', f"write {numbers}"))
        else:
            self.problems.append(Problem(path, f'there is no column "{column}"', self._near(column)))
        return None

    def _places(self, column: str) -> list[int]:
        """Columns of that very name, else of that name but for case and punctuation, else `#number`."""
        exact = [index for index, name in enumerate(self.header) if name == column]
        key = normalise(column)
        loose = [index for index, name in enumerate(self.header) if key and normalise(name) == key]
        if exact or (loose and not column.startswith("#")):
            return exact or loose
        number = column[1:] if column.startswith("#") else ""
        if number.isascii() and number.isdigit() and 1 <= int(number) <= len(self.header):
            return [int(number) - 1]
        return []

    def _near(self, column: str) -> str:
        by_key = {normalise(name): name for name in self.header}
        near = difflib.get_close_matches(normalise(column), by_key, n=1, cutoff=0.6)
        return f'did you mean "{by_key[near[0]]}"?' if near else ""

    def _suggest(self) -> None:
        taken = set(self.columns.values())  # a column of a template may fill a field of its own as well
        decided = {*self.profile.mapping, *self.profile.templates}
        for name in FIELDS:
            ranks = [(rank(column, name), index) for index, column in enumerate(self.header) if index not in taken]
            found = sorted((value, index) for value, index in ranks if value is not None)
            best = [index for value, index in found if value == found[0][0]]
            if name in decided or not best:
                continue
            if len(best) > 1:
                self._ambiguous(name, best)
            elif self.header[best[0]] != name:
                self.evidence.append(f'Column "{self.header[best[0]]}" is taken as {name}.')
            self.columns[name] = best[0]

    def _ambiguous(self, name: str, places: Sequence[int]) -> None:
        names = [self.header[place] for place in places]
        same = len(set(names)) < len(names)
        options = [f"--map {name}={_quoted(f'#{place + 1}' if same else self.header[place])}" for place in places]
        listed = ", ".join(f'"{column}"' for column in names)
        self.problems.append(Problem(name, f"several columns could be it: {listed}", "use " + " or ".join(options)))

    def _require(self) -> None:
        for name, known in FIELDS.items():
            required = known.required or (name == "unit_price" and self.profile.rules.price_required)
            if name == "user_id" and self.profile.rules.guests == "allow":
                required = False
            there = name in self.columns or name in self.templates or name in self.profile.defaults
            asked = any(problem.path in (name, f"mapping.{name}") for problem in self.problems)
            if required and not there and not asked:
                self._missing(name)

    def _missing(self, name: str) -> None:
        taken = set(self.columns.values())
        free = {normalise(column): column for index, column in enumerate(self.header) if index not in taken}
        near = difflib.get_close_matches(normalise(name), free, n=3, cutoff=0.4)
        columns = [free[key] for key in near] or ["COLUMN"]
        options = " or ".join(f"--map {name}={_quoted(column)}" for column in columns)
        self.problems.append(Problem(name, f"no column gives {FIELDS[name].explains}", f"use {options}"))


def _quoted(column: str) -> str:
    return column if column.replace("_", "").isalnum() else f'"{column}"'
