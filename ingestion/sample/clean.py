"""Records without a flaw, in blocks of some megabytes, made by gathering rows of byte matrices."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingestion.sample import catalogue
from ingestion.sample.catalogue import Bytes, Ints
from ingestion.sample.population import DAY_SECONDS, Population
from ingestion.sample.spec import SampleSpec

BLOCK_RECORDS: Final = 1 << 16


@dataclass(frozen=True)
class Block:
    """
    The numbers behind a stretch of clean records; everything is 0-based.

    Args:
        records: numbers of the records, ascending.
        orders: numbers of the orders they belong to, each once.
        spread: for each record, the index of its order in `orders`.
        users: for each order, the number of its user.
        items: for each record, the number of its item.
    """

    population: Population
    records: Ints
    orders: Ints
    spread: Ints
    users: Ints
    items: Ints

    @classmethod
    def at(cls, population: Population, *, first: int, count: int) -> "Block":
        """The block of `count` records from record `first` on."""
        records = np.arange(first, first + count, dtype=np.int64)
        lines = population.spec.lines_per_order
        orders = np.arange(first // lines, records[-1] // lines + 1, dtype=np.int64)
        return cls(
            population=population,
            records=records,
            orders=orders,
            spread=records // lines - orders[0],
            users=population.users_of(orders),
            items=population.items_of(records),
        )


def _tiled(text: str, count: int) -> Bytes:
    return np.tile(catalogue.matrix([text]), (count, 1))


def _order_id(block: Block) -> Bytes:
    numbers = catalogue.digits(block.orders + 1, width=block.population.order_id_width)
    return catalogue.beside(_tiled("o", len(numbers)), numbers)[block.spread]


def _user_number(block: Block) -> Bytes:
    return catalogue.digits(block.users + 1, width=block.population.user_id_width)


def _user_id(block: Block) -> Bytes:
    return catalogue.beside(_tiled("u", len(block.users)), _user_number(block))[block.spread]


def _user_email(block: Block) -> Bytes:
    names = catalogue.email_names()[_persons(block)]
    hosts = _tiled("@example.com", len(names))
    return catalogue.beside(names, _user_number(block), hosts)[block.spread]


def _user_name(block: Block) -> Bytes:
    return catalogue.full_names()[_persons(block)][block.spread]


def _user_age(block: Block) -> Bytes:
    ages = catalogue.age_texts()
    return ages[catalogue.scramble(block.users + 3) % len(ages)][block.spread]


def _country(block: Block) -> Bytes:
    countries = catalogue.country_texts()
    return countries[catalogue.scramble(block.users + 5) % len(countries)][block.spread]


def _persons(block: Block) -> Ints:
    return catalogue.scramble(block.users) % len(catalogue.full_names())


def _ordered_at(block: Block) -> Bytes:
    seconds = block.population.seconds_of(block.orders)
    days = catalogue.day_texts()[seconds // DAY_SECONDS]
    return catalogue.beside(days, catalogue.time_texts()[seconds % DAY_SECONDS])[block.spread]


def _status(block: Block) -> Bytes:
    statuses = catalogue.status_texts()
    return statuses[catalogue.scramble(block.orders) % len(statuses)][block.spread]


def _quantity(block: Block) -> Bytes:
    return catalogue.quantity_texts()[1 + block.population.noise(block.records, stream=4) % 12]


def _unit_price(block: Block) -> Bytes:
    """The list price, less up to 30 % in some records."""
    discount = np.maximum(block.population.noise(block.records, stream=5) % 100 - 70, 0)
    cents: Ints = catalogue.list_prices(block.items) * (100 - discount) // 100
    return catalogue.price_texts()[cents]


def _line_no(block: Block) -> Bytes:
    lines = block.population.spec.lines_per_order
    return catalogue.digits(block.records % lines + 1, width=len(str(lines)))


COLUMNS: Final[dict[str, Callable[[Block], Bytes]]] = {
    "order_id": _order_id,
    "user_id": _user_id,
    "sku": lambda block: catalogue.skus(block.items),
    "quantity": _quantity,
    "item_name": lambda block: catalogue.item_names(block.items),
    "unit_price": _unit_price,
    "currency": lambda block: _tiled("EUR", len(block.records)),
    "ordered_at": _ordered_at,
    "country": _country,
    "user_name": _user_name,
    "user_email": _user_email,
    "line_no": _line_no,
    "status": _status,
    "user_age": _user_age,
    "user_country": _country,
    "roles": lambda block: np.zeros((len(block.records), 0), dtype=np.uint8),
}


@dataclass(frozen=True)
class CleanBlock:
    """
    Clean records as ASCII text.

    Args:
        text: the records, each with its terminator.
        count: how many there are.
    """

    text: bytes
    count: int
    terminator: bytes

    def ends(self) -> NDArray[np.int64]:
        """For each record, the offset in `text` behind it."""
        last = np.frombuffer(self.text, dtype=np.uint8) == self.terminator[-1]
        ends: NDArray[np.int64] = np.flatnonzero(last).astype(np.int64) + 1
        return ends


@dataclass
class CleanRecords:
    """
    All clean records of a file.

    Args:
        spec: the file.
        records: how many clean records there are.
    """

    spec: SampleSpec
    records: int
    population: Population = field(init=False)
    items_seen: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        """Derive who orders what."""
        self.population = Population(self.spec, self.records)
        self.items_seen = np.zeros(self.spec.items, dtype=np.bool_)

    def blocks(self) -> Iterator[CleanBlock]:
        """The records in file order; `items_seen` is filled on the way."""
        for first in range(0, self.records, BLOCK_RECORDS):
            count = min(BLOCK_RECORDS, self.records - first)
            block = Block.at(self.population, first=first, count=count)
            self.items_seen[block.items] = True
            yield CleanBlock(self._text(block), count, self.spec.newline.encode("ascii"))

    def order_id(self, record: int) -> str:
        """The order id of clean record `record` (0-based)."""
        return f"o{record // self.spec.lines_per_order + 1:0{self.population.order_id_width}d}"

    def _text(self, block: Block) -> bytes:
        columns = [COLUMNS[name](block) for name in self.spec.columns]
        separators = [np.frombuffer(text.encode("ascii"), dtype=np.uint8) for text in self._separators()]
        width = sum(column.shape[1] for column in columns) + sum(len(text) for text in separators)
        rows = np.empty((len(block.records), width), dtype=np.uint8)
        at = 0
        for separator, column in zip_longest(separators, columns):
            rows[:, at : at + len(separator)] = separator
            at += len(separator)
            if column is not None:
                rows[:, at : at + column.shape[1]] = column
                at += column.shape[1]
        # The padding goes here: NUL occurs nowhere else in clean records.
        return rows.tobytes().translate(None, b"\0")

    def _separators(self) -> list[str]:
        """What stands before the first column, between the others, and behind the last."""
        quote = '"' if self.spec.quoting == "all" else ""
        between = quote + self.spec.delimiter + quote
        return [quote, *[between] * (len(self.spec.columns) - 1), quote + self.spec.newline]
