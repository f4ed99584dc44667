"""The kinds of records that can be planted, each with what an import has to make of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ingestion.sample import structural
from ingestion.sample.drafts import Draft, Written
from ingestion.sample.spec import SINGLE_BYTE, SampleSpec

Outcome = Literal["loaded", "rejected", "ignored"]


@dataclass(frozen=True)
class Kind:
    """
    One way to make a record special.

    Args:
        outcome: what becomes of the record.
        code: the error code of a rejected record, the reason of an ignored one, None for a loaded one.
        write: makes the record.
        any_of: columns of which the file must have at least one; empty if it does not matter.
        quotes: it cannot be written without quotes.
        tabs: False if it puts the delimiter into a text, which must not be a tab: names have no control characters.
        single_byte: False if it needs invalid bytes: Latin-1 and Mac Roman have none, and Windows-1252 has so few
            that they only show that the file is something else.
        before: the kind of a record that must stand somewhere before it, sharing its serial number.
        new_item: the record names an item of its own.
    """

    outcome: Outcome
    code: str | None
    write: Callable[[Draft], Written]
    any_of: tuple[str, ...] = ()
    quotes: bool = False
    tabs: bool = True
    single_byte: bool = True
    before: str | None = None
    new_item: bool = True

    def obstacle(self, spec: SampleSpec) -> str | None:
        """Why a file cannot have it; None if it can."""
        if self.any_of and not set(self.any_of) & set(spec.columns):
            return f"needs the column {' or '.join(self.any_of)}"
        if self.quotes and spec.quoting == "none":
            return "needs quotes, and quoting is none"
        if not self.tabs and spec.delimiter == "\t":
            return "would put a control character into a text, as the delimiter is a tab"
        if not self.single_byte and spec.codec in SINGLE_BYTE:
            return f"cannot be told in {spec.encoding}, where nearly every byte is a character"
        return None


def _values(code: str, *choices: tuple[str, str]) -> Kind:
    """A kind whose records take turns with the given (column, value) pairs."""

    def write(draft: Draft) -> Written:
        possible = [choice for choice in choices if choice[0] in draft.spec.columns]
        return draft.written(*possible[draft.serial % len(possible)])

    return Kind("rejected", code, write, any_of=tuple(dict.fromkeys(column for column, _ in choices)))


def _shared_email(draft: Draft) -> str:
    return f"shared.{draft.serial}@example.com"


def _email_holder(draft: Draft) -> Written:
    return draft.written("user_email", _shared_email(draft))


def _duplicate_email(draft: Draft) -> Written:
    return _with_known_item(draft, "user_email", _shared_email(draft))


def _role(draft: Draft) -> Written:
    return _with_known_item(draft, "roles", "admin")


def _with_known_item(draft: Draft, column: str, value: str) -> Written:
    """Errors that show only in the database leave open whether the record's item is made; so it is one that exists."""
    sku, name = draft.known_item
    line = draft.line({column: value, "sku": sku, "item_name": name})
    return Written(line.encode(draft.spec.codec), column, value)


KINDS: Final[Mapping[str, Kind]] = {
    "missing_columns": Kind("rejected", "missing_columns", structural.missing_columns),
    "too_many_columns": Kind("rejected", "too_many_columns", structural.too_many_columns),
    "stray_quote": Kind("rejected", "stray_quote", structural.stray_quote, quotes=True),
    "unterminated_quote": Kind("rejected", "unterminated_quote", structural.unterminated_quote, quotes=True),
    "invalid_encoding": Kind("rejected", "invalid_encoding", structural.invalid_encoding, single_byte=False),
    "nul_byte": Kind("rejected", "nul_byte", structural.nul_byte),
    "record_too_long": Kind("rejected", "record_too_long", structural.record_too_long),
    "required": _values("required", ("quantity", ""), ("sku", ""), ("user_id", "")),
    "invalid_integer": _values("invalid_integer", ("quantity", "three"), ("quantity", "2x")),
    "invalid_decimal": _values("invalid_decimal", ("unit_price", "twelve"), ("unit_price", "12.5x")),
    "too_precise": _values("too_precise", ("unit_price", "12.34567")),
    "out_of_range": _values(
        "out_of_range", ("quantity", "99999999999"), ("unit_price", "999999999999999.50"), ("quantity", "-1")
    ),
    "invalid_datetime": _values("invalid_datetime", ("ordered_at", "2025-02-30T10:00:00Z"), ("ordered_at", "soon")),
    "invalid_email": _values("invalid_email", ("user_email", "not-an-email"), ("user_email", "@example.com")),
    "too_long": _values("too_long", ("sku", "x" * 200), ("user_id", "y" * 129)),
    "email_holder": Kind("loaded", None, _email_holder, any_of=("user_email",)),
    "duplicate_email": Kind(
        "rejected", "duplicate_email", _duplicate_email, any_of=("user_email",), before="email_holder", new_item=False
    ),
    "role_not_allowed": Kind("rejected", "role_not_allowed", _role, any_of=("roles",), new_item=False),
    "blank": Kind("ignored", "blank", structural.blank),
    "repeated_header": Kind("ignored", "repeated_header", structural.repeated_header),
    "embedded_newline": Kind("loaded", None, structural.embedded_newline, any_of=("item_name",), quotes=True),
    "doubled_quotes": Kind("loaded", None, structural.doubled_quotes, quotes=True),
    "quoted_delimiter": Kind("loaded", None, structural.quoted_delimiter, quotes=True, tabs=False),
    "non_ascii": Kind("loaded", None, structural.non_ascii),
}


def available_kinds(spec: SampleSpec) -> list[str]:
    """The kinds that a file like this can have."""
    return [name for name, kind in KINDS.items() if kind.obstacle(spec) is None and name != "email_holder"]
