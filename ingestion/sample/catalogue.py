"""
The made-up shop: names, items, prices, countries and dates, as byte matrices.

A matrix has one row per entry, padded at the right with NUL bytes; the padding is dropped once a whole block of
records is put together. Rows are then gathered by index, which costs nanoseconds, where formatting would cost
microseconds.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

FIRST_DAY: Final = datetime(2023, 1, 1, tzinfo=UTC)
DAYS: Final = 1461
PRICES: Final = 20_000
MIN_PRICE_CENTS: Final = 100

# fmt: off
FINISHES: Final = (
    "Brushed", "Carved", "Classic", "Compact", "Folding", "Glazed", "Matte", "Modern", "Padded", "Plain",
    "Ribbed", "Rustic", "Slim", "Solid",
)
MATERIALS: Final = (
    "Ash", "Bamboo", "Brass", "Canvas", "Cedar", "Copper", "Cotton", "Cork", "Glass", "Leather", "Linen",
    "Marble", "Oak", "Slate", "Steel", "Wool",
)
THINGS: Final = (
    "Armchair", "Bath mat", "Bedside table", "Blanket", "Bookend", "Bowl", "Bucket", "Cabinet", "Candle holder",
    "Carafe", "Coat rack", "Coffee cup", "Curtain", "Cushion", "Desk lamp", "Door mat", "Drawer", "Floor lamp",
    "Fruit dish", "Garden bench", "Wall hook", "Kettle", "Mirror", "Enamel mug", "Notebook", "Picture frame",
    "Plant pot", "Rug", "Salad bowl", "Serving tray", "Shelf", "Stool", "Teapot", "Towel", "Umbrella", "Vase",
    "Wall clock", "Waste bin",
)
FIRST_NAMES: Final = (
    "Ada", "Alan", "Alice", "Anna", "Barbara", "Bela", "Carl", "Chen", "Clara", "David", "Dina", "Edsger",
    "Elena", "Emil", "Emmy", "Frances", "Fred", "Grace", "Hana", "Hedy", "Ivan", "Jean", "Joan", "Johan",
    "Karen", "Katherine", "Kim", "Leon", "Lise", "Linus", "Maria", "Mary", "Mei", "Miguel", "Nina", "Noor",
    "Olga", "Omar", "Pablo", "Paula", "Priya", "Radia", "Rosa", "Ruth", "Sara", "Sofia", "Tim", "Tomas", "Vera",
    "Yuki",
)
LAST_NAMES: Final = (
    "Allen", "Bauer", "Bianchi", "Brown", "Carter", "Costa", "Dubois", "Evans", "Fischer", "Garcia", "Gruber",
    "Hansen", "Hopper", "Ito", "Jansen", "Johnson", "Kaya", "Keller", "Kim", "Kowalski", "Larsen", "Lee",
    "Lopez", "Lovelace", "Martin", "Meyer", "Moreau", "Murphy", "Nagy", "Nielsen", "Novak", "Okafor", "Patel",
    "Perlman", "Popescu", "Rossi", "Santos", "Sato", "Schmidt", "Silva", "Singh", "Smith", "Suzuki", "Tanaka",
    "Turing", "Varga", "Walker", "Weber", "Wilson", "Young",
)
COUNTRIES: Final = (
    "AT", "BE", "CH", "CZ", "DE", "DK", "ES", "FI", "FR", "GB", "GR", "HU", "IE", "IT", "LU", "NL", "NO", "PL",
    "PT", "SE",
)
# fmt: on
STATUSES: Final = ("placed", "paid", "shipped", "delivered")


def matrix(entries: Iterable[str]) -> Bytes:
    """One row per ASCII entry, padded with NUL."""
    raw = np.array([entry.encode("ascii") for entry in entries])
    return raw.view(np.uint8).reshape(len(raw), raw.dtype.itemsize)


def beside(*parts: Bytes) -> Bytes:
    """Matrices with the same number of rows, set side by side."""
    return np.concatenate(parts, axis=1)


@cache
def _four_digits() -> Bytes:
    return matrix(f"{number:04d}" for number in range(10_000))


def digits(values: Ints, *, width: int) -> Bytes:
    """
    Decimal digits of non-negative numbers, with leading zeros.

    Args:
        values: shape (n,); each must fit into `width` digits.
    Returns:
        shape (n, width).
    """
    groups: list[Bytes] = []
    rest = values
    for _ in range(-(-width // 4)):
        groups.insert(0, _four_digits()[rest % 10_000])
        rest = rest // 10_000
    return beside(*groups)[:, -width:]


def scramble(values: Ints) -> Ints:
    """A fixed pseudo-random number ≥ 0 for each value: splitmix64 (Steele et al., 2014)."""
    mixed = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)


def _pick(table: Bytes, numbers: Ints) -> Bytes:
    return table[numbers % len(table)]


@cache
def _spaced(words: tuple[str, ...]) -> Bytes:
    return matrix(f"{word} " for word in words)


def skus(numbers: Ints) -> Bytes:
    """The identifiers of items, such as `sku-000042`."""
    return beside(np.tile(matrix(["sku-"]), (len(numbers), 1)), digits(numbers, width=6))


def item_names(numbers: Ints) -> Bytes:
    """The names of items; the same number has always the same name."""
    chosen = scramble(numbers)
    materials = chosen // len(FINISHES)
    things = materials // len(MATERIALS)
    return beside(
        _pick(_spaced(FINISHES), chosen),
        _pick(_spaced(MATERIALS), materials),
        _pick(matrix(THINGS), things),
    )


def list_prices(numbers: Ints) -> Ints:
    """The usual prices of items, in cents."""
    return MIN_PRICE_CENTS + scramble(numbers + 7) % (PRICES - MIN_PRICE_CENTS)


@cache
def price_texts() -> Bytes:
    """Row c is the price of c cents: `12.34`."""
    return matrix(f"{cents // 100}.{cents % 100:02d}" for cents in range(PRICES))


@cache
def quantity_texts() -> Bytes:
    """Row q is the quantity q, up to 12."""
    return matrix(str(quantity) for quantity in range(13))


@cache
def day_texts() -> Bytes:
    """Row d is the date d days after the first one."""
    return matrix(f"{FIRST_DAY + timedelta(days=day):%Y-%m-%d}" for day in range(DAYS))


@cache
def time_texts() -> Bytes:
    """Row s is the time of day s seconds after midnight, with the T before and the Z after it."""
    return matrix(f"T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}Z" for s in range(86_400))


@cache
def country_texts() -> Bytes:
    """ISO 3166 codes."""
    return matrix(COUNTRIES)


@cache
def status_texts() -> Bytes:
    """The states an order may be imported in."""
    return matrix(STATUSES)


@cache
def age_texts() -> Bytes:
    """Row a is the age a + 18."""
    return matrix(str(age) for age in range(18, 90))


@cache
def full_names() -> Bytes:
    """Every first name with every last name, such as `Ada Lovelace`."""
    return matrix(f"{first} {last}" for last in LAST_NAMES for first in FIRST_NAMES)


@cache
def email_names() -> Bytes:
    """The local part of the e-mail address that belongs to the full name of the same row, without its number."""
    return matrix(f"{first}.{last}.".lower() for last in LAST_NAMES for first in FIRST_NAMES)
