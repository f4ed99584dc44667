"""Where the table begins and whether its first record holds the column names."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ingestion.reader.sniff import Row, kind, known_names

BODY_ROWS = 50
_YEAR = re.compile(r"(19|20)\d\d")
SEARCHED_ROWS = 40  # for a header behind a preamble


@dataclass(frozen=True)
class Head:
    """
    Attributes:
        index: row of the header, or of the first record when there is none.
        has_header: whether that row holds names.
        reason: why.
    """

    index: int
    has_header: bool
    reason: str


def find_head(rows: Sequence[Row], *, width: int, known: Collection[str], wanted: bool | None) -> Head:
    """
    Args:
        rows: the first records of the file, at least one of them sound and not blank.
        width: the most frequent number of fields.
        known: normalised names that are expected.
        wanted: whether there is a header, when that is told.
    """
    named = _by_names(rows, known) if wanted is not False else None
    if named is not None:
        return Head(named, True, f"Line {rows[named].line + 1} holds {known_names(rows[named], known)} known names.")
    first = _table_start(rows, width)
    if wanted is not None:
        return Head(first, wanted, "There is a header, as told." if wanted else "There is no header, as told.")
    vote = _header_vote(rows, first, width)
    above = _near_miss(rows, first, width)
    if vote <= 0 and above is not None:
        return Head(above, True, f"Line {rows[above].line + 1} holds names, though not as many as records have fields.")
    if vote > 0 or (vote == 0 and _all_names(rows[first])):
        return Head(first, True, f"Line {rows[first].line + 1} reads like column names.")
    return Head(first, False, f"Line {rows[first].line + 1} looks like data, not like column names.")


def _by_names(rows: Sequence[Row], known: Collection[str]) -> int | None:
    counted = [(known_names(row, known), -index) for index, row in enumerate(rows[:SEARCHED_ROWS]) if row.sound]
    count, index = max(counted, default=(0, 0))
    enough = count > 1 or (count == 1 and len(rows[-index].cells) == 1)
    return -index if enough and 2 * count >= sum(map(bool, rows[-index].cells)) * 0.4 else None


def _table_start(rows: Sequence[Row], width: int) -> int:
    """The first row as wide as most that is about as filled as the rows below it."""
    wide = [index for index, row in enumerate(rows) if row.sound and len(row.cells) == width and not row.blank]
    if not wide:
        return next(index for index, row in enumerate(rows) if row.sound and not row.blank)
    fullest = max(_filled(rows[index]) for index in wide[:SEARCHED_ROWS])
    commented = len(wide) > 1 and rows[wide[0]].cells[0].startswith("#") and not rows[wide[1]].cells[0].startswith("#")
    start = 1 if commented and width == 1 else 0
    return next((index for index in wide[start:] if 2 * _filled(rows[index]) >= fullest), wide[0])


def _filled(row: Row) -> int:
    return sum(map(bool, row.cells))


def _header_vote(rows: Sequence[Row], first: int, width: int) -> int:
    """Above 0 when the row differs in kind from those below it (repetitions aside), below 0 when it is like them."""
    cells = rows[first].cells
    alike = (row for row in rows[first + 1 :] if row.sound and not row.blank and len(row.cells) == width)
    body = [row for row in alike if row.cells != cells][:BODY_ROWS]
    return sum(_column_vote(cell, [row.cells[index] for row in body]) for index, cell in enumerate(cells))


def _column_vote(cell: str, below: Sequence[str]) -> int:
    """+1 when the cell is unlike those below it, -1 when it is one of them, 0 when that cannot be told."""
    if not cell or not any(below):
        return -1 if kind(cell) in ("number", "moment", "address") else 0
    kinds = [kind(text) for text in below if text]
    usual = max(set(kinds), key=kinds.count)
    own = kind(cell)
    if _YEAR.fullmatch(cell) and not any(map(_YEAR.fullmatch, below)):
        return 1
    if own == usual:
        return -1 if own in ("number", "moment", "address") or cell in below else 0
    return 1 if own == "text" and usual != "odd" and kinds.count(usual) > len(kinds) * 0.7 else 0


def _near_miss(rows: Sequence[Row], first: int, width: int) -> int | None:
    """A row of names above the first row of the usual width, with only rows of about that width in between."""
    for index in range(first - 1, -1, -1):
        if not rows[index].sound or not _is_near(len(rows[index].cells), width):
            return None
        if _all_names(rows[index]):
            return index
    return None


def _is_near(cells: int, width: int) -> bool:
    return cells > 1 and abs(cells - width) <= max(1, width // 4)


def _all_names(row: Row) -> bool:
    names = [cell for cell in row.cells if cell]
    return all(kind(cell) == "text" for cell in names) and len(set(names)) == len(names)


def column_names(cells: Sequence[str], *, body: Sequence[Row]) -> tuple[str, ...]:
    """
    Names as in the file without trailing blank ones. A blank one above data is called "column_3", say, and a second
    "price" becomes "price (2)".
    """
    names = list(cells)
    while len(names) > 1 and not names[-1] and not _has_data(body, len(names) - 1):
        names.pop()
    named = [name or f"column_{index}" for index, name in enumerate(names, start=1)]
    return _made_unique(named)


def numbered_names(width: int, *, body: Sequence[Row]) -> tuple[str, ...]:
    """column_1, column_2… without trailing columns that are blank everywhere."""
    return column_names([""] * width, body=body) if width > 1 else ("column_1",)


def _has_data(body: Sequence[Row], column: int) -> bool:
    return any(len(row.cells) > column and row.cells[column] for row in body)


def _made_unique(names: Sequence[str]) -> tuple[str, ...]:
    taken: set[str] = set()
    unique = []
    for name in names:
        count, candidate = 1, name
        while candidate in taken:
            count += 1
            candidate = f"{name} ({count})"
        taken.add(candidate)
        unique.append(candidate)
    return tuple(unique)
