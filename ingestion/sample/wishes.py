"""The texts by which people name kinds of defects."""

from dataclasses import replace

from ingestion.sample.errors import SampleError
from ingestion.sample.kinds import available_kinds
from ingestion.sample.spec import SampleSpec


def with_defects(spec: SampleSpec, wishes: str) -> SampleSpec:
    """
    The spec with the defects that were wished for.

    Args:
        wishes: `KIND[:COUNT],…`; `all[:COUNT]` stands for every kind that such a file can have. A kind that is named
            again gets the later count, so `all:2,blank:100` means what it says.
    Raises:
        SampleError: a count is no number.
    """
    counts: dict[str, int] = {}
    for wish in filter(None, (part.strip() for part in wishes.split(","))):
        name, _, count = wish.partition(":")
        names = available_kinds(spec) if name == "all" else [name]
        counts.update(dict.fromkeys(names, _count(count or "1", wish=wish)))
    return replace(spec, defects=tuple(counts.items()))


def _count(text: str, *, wish: str) -> int:
    if not text.isdecimal():
        raise SampleError(f"{wish!r}: the count must be a whole number, as in blank:10")
    return int(text)
