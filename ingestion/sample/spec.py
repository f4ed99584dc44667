"""What a sample file shall look like."""

from dataclasses import dataclass, field
from typing import Final

from ingestion.sample.errors import SampleError

# The eleven columns of the benchmark file: with the defaults below its records are 136 bytes long on average.
DEFAULT_COLUMNS: Final = (
    "order_id",
    "user_id",
    "sku",
    "quantity",
    "item_name",
    "unit_price",
    "currency",
    "ordered_at",
    "country",
    "user_name",
    "user_email",
)
REQUIRED_COLUMNS: Final = ("order_id", "user_id", "sku", "quantity")
ALL_COLUMNS: Final = (*DEFAULT_COLUMNS, "line_no", "status", "user_age", "user_country", "roles")

# name → (Python codec, byte order mark)
ENCODINGS: Final = {
    "utf-8": ("utf-8", b""),
    "utf-8-sig": ("utf-8", b"\xef\xbb\xbf"),
    "utf-16-le": ("utf-16-le", b"\xff\xfe"),
    "utf-16-be": ("utf-16-be", b"\xfe\xff"),
    "cp1252": ("cp1252", b""),
    "latin-1": ("latin-1", b""),
    "mac-roman": ("mac-roman", b""),
}
SINGLE_BYTE: Final = ("cp1252", "latin-1", "mac-roman")
DELIMITERS: Final = (",", ";", "\t", "|")
NEWLINES: Final = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}
QUOTINGS: Final = ("minimal", "all", "none")
MAX_ITEMS: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class SampleSpec:
    """
    A sample file: the same spec always gives the same bytes.

    Args:
        rows: records to write, planted ones included; the header is not a record. At least 1.
        seed: any integer ≥ 0.
        columns: names of our own header, in the order wished for; the four required ones must be among them.
        lines_per_order: records that share an order id, ≥ 1.
        records_per_user: how many records there are for each distinct user, ≥ 1.
        items: distinct items to choose from, 1 to 1,000,000.
        delimiter: one of `, ; TAB |`.
        encoding: a key of ENCODINGS; the UTF-16 ones and utf-8-sig begin with a byte order mark.
        newline: "\\n", "\\r\\n" or "\\r".
        quoting: "minimal" (only where needed), "all" (every field) or "none" (no quote in the file).
        defects: (kind, count) pairs; the kinds are listed in `ingestion.sample.kinds`.
    Raises:
        SampleError: a value is outside what is listed here.
    """

    rows: int
    seed: int = 0
    columns: tuple[str, ...] = DEFAULT_COLUMNS
    lines_per_order: int = 2
    records_per_user: int = 10
    items: int = 10_000
    delimiter: str = ","
    encoding: str = "utf-8"
    newline: str = "\n"
    quoting: str = "minimal"
    defects: tuple[tuple[str, int], ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse what cannot be written."""
        for problem in self._problems():
            raise SampleError(problem)

    @property
    def codec(self) -> str:
        """The Python codec of the text."""
        return ENCODINGS[self.encoding][0]

    @property
    def mark(self) -> bytes:
        """The byte order mark, or nothing."""
        return ENCODINGS[self.encoding][1]

    @property
    def wide(self) -> bool:
        """Whether ASCII text takes two bytes a character."""
        return self.codec.startswith("utf-16")

    @property
    def orders_per_user(self) -> int:
        """How many orders there are for each distinct user."""
        return max(1, self.records_per_user // self.lines_per_order)

    def header(self) -> str:
        """The header line with its terminator."""
        names = [f'"{name}"' for name in self.columns] if self.quoting == "all" else self.columns
        return self.delimiter.join(names) + self.newline

    def encode(self, ascii_text: bytes) -> bytes:
        """Bring ASCII text into the file's encoding."""
        return ascii_text.decode("ascii").encode(self.codec) if self.wide else ascii_text

    def _problems(self) -> list[str]:
        missing = [name for name in REQUIRED_COLUMNS if name not in self.columns]
        unknown = [name for name in self.columns if name not in ALL_COLUMNS]
        checks = (
            (self.rows < 1, f"rows must be at least 1, not {self.rows}"),
            (self.seed < 0, f"seed must not be negative, as {self.seed} is"),
            (bool(missing), f"columns must include {', '.join(missing)}"),
            (bool(unknown), f"unknown columns: {', '.join(unknown)}. Known are: {', '.join(ALL_COLUMNS)}"),
            (len(set(self.columns)) != len(self.columns), "a column is named twice"),
            (self.lines_per_order < 1, f"lines per order must be at least 1, not {self.lines_per_order}"),
            (self.records_per_user < 1, f"records per user must be at least 1, not {self.records_per_user}"),
            (not 1 <= self.items <= MAX_ITEMS, f"items must be between 1 and {MAX_ITEMS:,}, not {self.items:,}"),
            (self.delimiter not in DELIMITERS, f"delimiter must be one of , ; TAB |, not {self.delimiter!r}"),
            (self.encoding not in ENCODINGS, f"encoding must be one of {', '.join(ENCODINGS)}, not {self.encoding}"),
            (self.newline not in NEWLINES.values(), f"newline must be LF, CRLF or CR, not {self.newline!r}"),
            (self.quoting not in QUOTINGS, f"quoting must be one of {', '.join(QUOTINGS)}, not {self.quoting}"),
        )
        return [message for wrong, message in checks if wrong]
