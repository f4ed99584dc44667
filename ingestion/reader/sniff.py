"""
Which delimiter, quote and escape fit a sample best.

Every candidate reads the first records under the reader's own rules; the best has the most even widths and the most
cells that look like something (the idea of CleverCSV: van den Burg, Nazábal, Sutton 2019, "Wrangling messy CSV files").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

from ingestion.reader.dialect import DialectOverrides
from ingestion.reader.exact import BLANK_TEXT
from ingestion.reader.records import RecordParser, line_ends

DELIMITERS = ",;\t|"
QUOTES = "\"'"
ROWS = 300
TYPED_ROWS = 50
RECORD_LIMIT = 1 << 16
EVEN_ENOUGH = 0.5  # share of records that must have the same width, or the file has one column
_NUMBER = re.compile(r"[-+(]?[$€£¥]?[-+]?(\d{1,3}([., '\u00a0]\d{3})+|\d+)?([.,]\d+)?([eE][-+]?\d+)?\s?[%$€£¥)]?")
_MOMENT = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?)?( ?[AaPp][Mm]|Z|[-+]\d\d:?\d\d)?"
)
_TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")
_ADDRESS = re.compile(r"[^@\s,;|]+@[^@\s,;|]+\.[^@\s,;|]+|https?://\S+")
_TEXT = re.compile(r"[^\t;|\"]*")


@dataclass(frozen=True)
class Row:
    """One record of the sample: shadow offsets, 0-based physical line, cells as text; `sound` unless damaged."""

    start: int
    end: int
    line: int
    lines: int
    cells: tuple[str, ...]
    sound: bool

    @property
    def blank(self) -> bool:
        """Whether there is nothing in it."""
        return self.sound and not any(self.cells)


@dataclass(frozen=True)
class Candidate:
    """A way to read the sample, and the rows it gives."""

    delimiter: str
    quote: str | None
    escape: str | None
    rows: tuple[Row, ...]
    width: int
    evenness: float
    score: float


@dataclass(frozen=True)
class Sample:
    """
    Attributes:
        data: whole records where possible, without byte order mark.
        shadow: its shadow.
        encoding: of `data`.
    """

    data: bytes
    shadow: bytes
    encoding: str

    @property
    def unit(self) -> int:
        """Bytes per code unit."""
        return 2 if self.encoding.startswith("utf-16") else 1

    def text(self, start: int, stop: int) -> str:
        """Text between shadow offsets."""
        return self.data[start * self.unit : stop * self.unit].decode(self.encoding, "replace")


def kind(cell: str) -> str:
    """What a stripped cell looks like: "empty", "number", "moment", "address", "text" or "odd"."""
    if not cell:
        return "empty"
    if _NUMBER.fullmatch(cell) and any(character.isdigit() for character in cell):
        return "number"
    if _MOMENT.fullmatch(cell) or _TIME.fullmatch(cell):
        return "moment"
    if _ADDRESS.fullmatch(cell):
        return "address"
    return "text" if _TEXT.fullmatch(cell) and "'" not in (cell[0], cell[-1]) else "odd"


def normalised(name: str) -> str:
    """A column name for comparison: letters and digits only, lower case."""
    return "".join(character for character in name.casefold() if character.isalnum())


def read_rows(sample: Sample, parser: RecordParser, *, start: int = 0, limit: int = ROWS) -> Iterator[Row]:
    """The first records of a sample; a line too long to be one is passed over."""
    pos, line, quote = start, 0, parser.quote.decode() if parser.quote else None
    while pos < len(sample.shadow) and limit:
        parsed = parser.parse(sample.shadow, pos, eof=True)
        end = parsed.end
        if end < 0:
            end = int(line_ends(sample.shadow, pos, len(sample.shadow), eof=True)[0])
        lines = len(line_ends(sample.shadow, pos, end, eof=True))
        cells = tuple(_cell(sample.text(a, b), quote if quoted else None) for a, b, quoted in parsed.fields)
        yield Row(pos, end, line, lines, cells, parsed.code is None)
        pos, line, limit = end, line + lines, limit - 1


def _cell(text: str, quote: str | None) -> str:
    return (text.replace(quote * 2, quote) if quote else text).strip(BLANK_TEXT)


def candidates(sample: Sample, overrides: DialectOverrides, known: Collection[str]) -> list[Candidate]:
    """All ways to read the sample that the overrides allow, best first."""
    delimiters = overrides.delimiter or DELIMITERS
    quotes: list[str | None] = _quotes(sample) if overrides.quote is None else [overrides.quote or None]
    found = [
        _judged(sample, delimiter, quote, escape, known)
        for delimiter, quote in product(delimiters, quotes)
        if delimiter != quote
        for escape in _escapes(sample, quote, overrides.escape)
    ]
    found.sort(key=lambda candidate: -candidate.score)
    return found


def _quotes(sample: Sample) -> list[str | None]:
    """
    Apostrophes are candidates only where they enclose more fields than double quotes do: damaged double quotes would
    otherwise make apostrophes, under which nothing is quoted and so nothing damaged, look better.
    """
    counts = [len(_enclosed(quote).findall(sample.shadow)) for quote in QUOTES]
    return list(QUOTES) if counts[1] > counts[0] else [QUOTES[0]]


@cache
def _enclosed(quote: str) -> re.Pattern[bytes]:
    """A whole field between quotes."""
    return re.compile(rf"(?:\A|[,;\t|\r\n]){quote}[^{quote}\r\n]*{quote}(?=[,;\t|\r\n]|\Z)".encode())


def _escapes(sample: Sample, quote: str | None, wanted: str | None) -> list[str | None]:
    if wanted is not None:
        return [wanted or None]
    if quote and b"\\" + quote.encode() in sample.shadow:
        return [None, "\\"]
    return [None]


def _judged(sample: Sample, delimiter: str, quote: str | None, escape: str | None, known: Collection[str]) -> Candidate:
    parser = RecordParser(delimiter=delimiter, quote=quote, escape=escape, columns=None, limit=RECORD_LIMIT)
    rows = tuple(read_rows(sample, parser))
    filled = [row for row in rows if not row.blank]
    widths = [len(row.cells) for row in filled if row.sound and len(row.cells) > 1]
    if not widths:
        sound = sum(row.sound for row in filled) / max(1, len(filled))
        return Candidate(delimiter, quote, escape, rows, 1, sound, 0.01 * sound + _preference(delimiter, quote, escape))
    width = max(set(widths), key=lambda value: (widths.count(value), value))
    evenness = widths.count(width) / len(filled)
    alike = [row for row in filled if row.sound and len(row.cells) == width][:TYPED_ROWS]
    typed = sum(kind(cell) != "odd" for row in alike for cell in row.cells) / (len(alike) * width)
    score = evenness * (0.4 + 0.6 * typed**2) * (1 - 0.5 / width) if evenness >= EVEN_ENOUGH else 0.001 * evenness
    names = max((known_names(row, known) for row in rows[:30]), default=0)
    return Candidate(
        delimiter, quote, escape, rows, width, evenness,
        score + (1 if names > 1 else 0) + _preference(delimiter, quote, escape),
    )  # fmt: skip


def _preference(delimiter: str, quote: str | None, escape: str | None) -> float:
    """Decides between equals: comma before the others, double quotes, no escape."""
    order = -DELIMITERS.find(delimiter) * 1e-5
    return order - (1e-3 if quote == "'" else 0) - (1e-3 if escape else 0)


def known_names(row: Row, known: Collection[str]) -> int:
    """How many cells of a row are expected column names (`known` holds normalised ones)."""
    return sum(normalised(cell) in known for cell in row.cells if cell)
