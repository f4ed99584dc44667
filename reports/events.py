"""
An order's event as the topic has it → what the reports need of it.

Every event holds the whole order in one version, so the newest one that was read says everything. Fields that are not
needed here are not looked at, and unknown ones are nobody's mistake; what is needed is checked as strictly as the
tables are, so that one bad event cannot stop the others that are written with it.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from config.kernel.fields import TEXT_KEY_LENGTH, TEXT_KEY_PATTERN
from orders.states import CANCELLED

TYPE: Final = re.compile(r"com\.sluice\.order\.[a-z_]{1,40}\.v1")
_KEY: Final = re.compile(TEXT_KEY_PATTERN)
_CURRENCY: Final = re.compile(r"(?:[A-Z]{3})?")
_PRICE: Final = re.compile(r"(-?[0-9]{1,14})(?:\.([0-9]{1,4}))?", re.ASCII)
_COUNTRY_LENGTH: Final = 64
_INT32: Final = 2**31

Item = tuple[str, int, int]
"""A sku, its quantity, and its revenue in ten-thousandths of the currency."""


class InvalidEventError(ValueError):
    """Not an event of an order that can be counted; the message says why."""


class State(NamedTuple):
    """What one version of an order adds to the sums; `day` in UTC as YYYY-MM-DD, `items` by sku, each sku once."""

    order_id: str
    version: int
    day: str
    country: str
    currency: str
    user_id: str | None
    cancelled: bool
    items: list[Item]


class OrderEvent(NamedTuple):
    """An event with where it was read; `time` is its ce_time, unchecked."""

    id: str
    type: str
    time: str
    topic: str
    partition: int
    offset: int
    state: State


def decode(record: Any) -> OrderEvent:
    """
    Read one record of the topic.

    Args:
        record: has topic, partition, offset, headers (pairs of text and bytes) and value (bytes), as kafka-python's.
    Raises:
        InvalidEventError
    """
    try:
        headers = dict(record.headers)
        type_ = _type(headers["ce_type"])
        state = _state(json.loads(record.value.decode()))
        event_id = headers["ce_id"].decode()
        if event_id != f"{state.order_id}:{state.version}":
            raise InvalidEventError(f"ce_id {event_id!a} is not of this order and version")
        time = headers["ce_time"].decode()
        return OrderEvent(event_id, type_, time, record.topic, record.partition, record.offset, state)
    except InvalidEventError:
        raise
    except KeyError as error:
        raise InvalidEventError(f"{error.args[0]!a} is missing") from error
    # Whatever else a stranger's bytes can do to a reader: texts are not UTF-8, objects are lists, nesting is too deep.
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InvalidEventError(f"{type(error).__name__}: {error}"[:500]) from error


@lru_cache(maxsize=64)
def _type(header: bytes) -> str:
    found = header.decode()
    if not TYPE.fullmatch(found):
        # Another version may mean something else by the same names, so it must not be taken for one that is known.
        raise InvalidEventError(f"ce_type {found[:100]!a} is not known here")
    return found


def _state(data: Mapping[str, Any]) -> State:
    user_id = data["user_id"]
    return State(
        order_id=_key(data["order_id"], "order_id"),
        version=_whole(data["version"], "version", least=1),
        day=_day(data["created_at"] if data["ordered_at"] is None else data["ordered_at"]),
        country=_country(data["country"]),
        currency=_currency(data["currency"]),
        user_id=None if user_id is None else _key(user_id, "user_id"),
        cancelled=data["status"] == CANCELLED,
        items=_items(data["lines"]),
    )


def _key(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > TEXT_KEY_LENGTH or not _KEY.match(value):
        raise InvalidEventError(f"{name} is not a key")
    return _storable(value)


def _storable(value: str) -> str:
    if "\x00" in value:
        raise InvalidEventError("a text contains U+0000")
    value.encode()  # half of a surrogate pair is no character
    return value


def _whole(value: Any, name: str, *, least: int = 1 - _INT32) -> int:
    if type(value) is not int or not least <= value < _INT32:
        raise InvalidEventError(f"{name} is not a whole number in its range")
    return value


def _country(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _COUNTRY_LENGTH:
        raise InvalidEventError("country is not a text of at most 64 characters")
    return _storable(value)


def _currency(value: Any) -> str:
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise InvalidEventError("currency is not three capitals")
    return value


def _day(moment: str) -> str:
    """The day in UTC."""
    if moment.endswith("Z"):
        return date.fromisoformat(moment[:10]).isoformat()
    found = datetime.fromisoformat(moment)
    if found.tzinfo is None:
        raise InvalidEventError("a time without its offset from UTC")
    return found.astimezone(UTC).date().isoformat()


def _items(lines: Iterable[Mapping[str, Any]]) -> list[Item]:
    sums: dict[str, tuple[int, int]] = {}
    for line in lines:
        sku, quantity = _key(line["sku"], "sku"), _whole(line["quantity"], "quantity")
        revenue = quantity * _ten_thousandths(line["unit_price"])
        if sku in sums:
            quantity, revenue = quantity + sums[sku][0], revenue + sums[sku][1]
        sums[sku] = (quantity, revenue)
    return [(sku, *sums[sku]) for sku in sorted(sums)]


def _ten_thousandths(price: Any) -> int:
    """An unknown price is none."""
    if price is None:
        return 0
    found = _PRICE.fullmatch(price)
    if not found:
        raise InvalidEventError("unit_price is not a decimal number with at most four decimals")
    whole, decimals = found.groups()
    return int(whole + (decimals or "").ljust(4, "0"))
