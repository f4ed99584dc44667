"""The profile of an import: how to read a file, what its columns mean, and which rules apply."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ingestion.profiles.datepatterns import ALLOWED, checked_pattern
from ingestion.profiles.numberformats import GROUPING_SIGNS
from ingestion.profiles.options import (
    choice,
    each,
    flag,
    id_prefix,
    maybe,
    option,
    ratio,
    text,
    texts,
    time_zone,
    whole,
)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Overrides of what would otherwise be detected from the file. None: detect."""

    encoding: str | None = option(
        None,
        maybe(choice("utf-8", "utf-16-le", "utf-16-be", "cp1252", "latin-1", "mac-roman")),
        "Python codec of the file",
    )
    delimiter: str | None = option(None, maybe(choice(",", ";", "\t", "|")), "one character between fields")
    quote: str | None = option(None, maybe(choice('"', "'", "")), 'quote character; "" = the file quotes nothing')
    escape: str | None = option(None, maybe(choice("\\", "")), '"\\\\" = backslash escapes; "" = doubled quotes')
    header_row: int | None = option(None, maybe(whole(1)), "physical line of the header, counted from 1")
    has_header: bool | None = option(None, maybe(flag), "false: the first record is data; give `columns` then")
    columns: tuple[str, ...] = option((), texts, "column names to use instead of a header's, in file order")

    def overrides(self) -> dict[str, Any]:
        """What is set, as arguments of the reader's DialectOverrides."""
        return {name: value for name, value in vars(self).items() if value not in (None, ())}


@dataclass(frozen=True, kw_only=True)
class Ids:
    """How the ids of a file become ours; the total may have 128 characters."""

    order_prefix: str = option("", id_prefix, "put before every order id, so that two shops can have order 1001")
    user_prefix: str = option("", id_prefix, "put before every user id")
    item_prefix: str = option("", id_prefix, "put before every sku")
    allow_scientific: bool = option(
        False, flag, "true: keep ids like 1.23E+15; false: reject them, because a spreadsheet has destroyed the id"
    )


@dataclass(frozen=True, kw_only=True)
class Formats:
    """How dates and numbers are written. What is not set is settled by evidence from the file, never per record."""

    date_formats: tuple[str, ...] = option(
        (), each(checked_pattern, ALLOWED), f"patterns to try, the only ones allowed then; {ALLOWED}"
    )
    day_first: bool | None = option(None, maybe(flag), "3/4/2025 is: true = 3 April, false = 4 March, unset = evidence")
    time_zone: str = option("UTC", time_zone, "IANA zone of times without an offset")
    repeated_time: str = option(
        "reject",
        choice("reject", "earlier", "later"),
        "what a local time means that the end of summer time repeats; times that its start skips are always rejected",
    )
    decimal_separator: str | None = option(None, maybe(choice(".", ",")), "unset = evidence")
    thousands_separators: tuple[str, ...] | None = option(
        None,
        maybe(each(choice(*GROUPING_SIGNS), "signs that group digits by three")),
        "signs that group digits by three; [] = none; unset = evidence",
    )
    currency_signs: tuple[str, ...] | None = option(
        None,
        maybe(each(text(8, minimum=1), "signs that may stand before or after a price")),
        "signs that may stand before or after a price; [] = none; unset = evidence",
    )


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which records are accepted, and what happens to what is already there."""

    guests: str = option("reject", choice("allow", "reject"), "records without a user id")
    returns: str = option("reject", choice("allow", "reject"), "negative quantities; zero is never accepted")
    zero_prices: str = option("allow", choice("allow", "reject"), "unit_price 0")
    negative_prices: str = option("reject", choice("allow", "reject"), "unit_price below 0")
    price_required: bool = option(False, flag, "true: reject records without a unit_price")
    on_conflict: str = option(
        "skip", choice("skip", "update", "error"), "an order that another import or a person has already placed"
    )
    replace_lines: bool = option(False, flag, "true: with on_conflict=update, delete lines that the file does not have")
    update_people: bool = option(
        False, flag, "true: overwrite attributes of users that exist (never of who can log in)"
    )
    update_items: bool = option(False, flag, "true: overwrite names of items that exist")
    partial_orders: str = option(
        "load", choice("load", "reject"), "an order of which some records were rejected: load the others or none"
    )
    duplicates: str = option(
        "reject", choice("reject", "skip"), "a second record with the order id and line number of an earlier one"
    )
    max_errors: int | None = option(None, maybe(whole(0)), "stop after that many rejected records; unset = never")
    max_error_ratio: float = option(0.5, ratio, "stop when more than this part of the records was rejected; 1 = never")
    max_error_ratio_after: int = option(10_000, whole(1), "records to see before max_error_ratio is judged")
    unmapped: str = option("drop", choice("drop", "attributes"), "columns without a field: drop, or keep as attributes")
    continuation: bool = option(
        False, flag, "true: a record without an order id continues the previous one and inherits its blank order fields"
    )
    synonyms: bool = option(True, flag, "true: fields that `mapping` does not name are looked for by common names")
    roles: tuple[str, ...] = option((), texts, "slugs of roles that the roles column may grant; [] = none")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """
    Everything an import needs to know beside the file.

    Args:
        name: lower-case letters, digits, `-` and `_`.
        mapping: field → column names, of which the first one present counts; () = never mapped. A field that is not
            named here is looked for by its synonyms. `#3` means the third column.
        strict: fields whose column must be there (they were given as one name, not as a list).
        templates: field (order_id, user_id, sku) → text with `{column}` placeholders; needs all of them non-blank.
        defaults: field → text, used where the column is missing or blank.
    """

    name: str
    description: str = ""
    reading: Reading = field(default_factory=Reading)
    mapping: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    strict: tuple[str, ...] = ()
    templates: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    ids: Ids = field(default_factory=Ids)
    formats: Formats = field(default_factory=Formats)
    rules: Rules = field(default_factory=Rules)

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], *, source: str) -> Profile:
        """
        Build a profile from parsed TOML or JSON.

        Args:
            source: where the data came from; only for messages.
        Raises:
            ProfileError: lists every unknown key, wrong type and bad value at once.
        """
        from ingestion.profiles.parsing import parse_profile

        return parse_profile(data, source=source)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Profile:
        """The profile that `as_dict` wrote. Raises ProfileError."""
        return cls.from_mapping(data, source=str(data.get("name", "stored profile")))

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe, in the layout of the TOML files, with all defaults written out."""
        data: dict[str, Any] = {"name": self.name, "description": self.description}
        data["mapping"] = {name: _column_names(names, name in self.strict) for name, names in self.mapping.items()}
        data["templates"], data["defaults"] = dict(self.templates), dict(self.defaults)
        for section in ("reading", "ids", "formats", "rules"):
            values = dataclasses.asdict(getattr(self, section))
            data[section] = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
        return data

    def canonical_json(self) -> str:
        """Equal for profiles with the same options, whatever the order in which they were written."""
        return json.dumps(self.as_dict(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    def fingerprint(self) -> str:
        """SHA-256 of what the profile does: its options without name and description."""
        data = {key: value for key, value in self.as_dict().items() if key not in ("name", "description")}
        return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def with_mapping(self, columns: Mapping[str, str]) -> Profile:
        """
        This profile with some fields mapped otherwise, as by `--map FIELD=COLUMN`; an empty column unmaps the field.

        Raises:
            ProfileError: a field that does not exist.
        """
        data = self.as_dict()
        data["mapping"] |= {name: column or False for name, column in columns.items()}
        data["templates"] = {name: text for name, text in self.templates.items() if name not in columns}
        return Profile.from_mapping(data, source=f"{self.name} with --map")

    def with_rules(self, **changed: Any) -> Profile:
        """
        This profile with some rules changed; None leaves a rule as it is.

        Raises:
            ProfileError: an unknown rule or a bad value.
        """
        data = self.as_dict()
        data["rules"] |= {key: value for key, value in changed.items() if value is not None}
        return Profile.from_mapping(data, source=f"{self.name} with options")


def _column_names(names: tuple[str, ...], strict: bool) -> Any:
    if not names:
        return False
    return names[0] if strict else list(names)
