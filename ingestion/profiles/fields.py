"""The fields that a record of an order file can fill: the contract between files, profiles and the validator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_ID_LENGTH: Final = 128
MAX_NAME_LENGTH: Final = 255
MAX_COUNTRY_LENGTH: Final = 64
# Unicode White_Space, which is also what Polars strips: it never belongs to a value's edges.
EDGES: Final = (
    " \t\n\v\f\r\x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
STATUSES: Final = ("placed", "paid", "shipped", "delivered", "cancelled")


@dataclass(frozen=True)
class Field:
    """
    One field of a record.

    Args:
        kind: which reader of ingestion.validation reads it.
        required: a file without a column for it cannot be loaded (user_id: unless the profile allows guests).
        order_level: describes the order or its user, not the line; continuation records inherit it.
    """

    name: str
    kind: str
    explains: str
    required: bool = False
    order_level: bool = False


_ALL: Final = (
    Field("order_id", "id", "the order's key; records with the same order id are lines of one order", True, True),
    Field("user_id", "id", "the customer's key; blank means a guest", True, True),
    Field("sku", "id", "the item's key, case kept", True),
    Field("quantity", "quantity", "whole pieces; negative only where the profile allows returns", True),
    Field("line_no", "line_no", "the line's number within its order, 1 or more"),
    Field("item_name", "name", "the item's name"),
    Field("unit_price", "price", "price of one piece, at most 4 decimals"),
    Field("currency", "currency", "ISO 4217, three letters", order_level=True),
    Field("ordered_at", "datetime", "when the order was placed", order_level=True),
    Field("status", "status", "one of " + ", ".join(STATUSES), order_level=True),
    Field("country", "country", "where the order goes: two letters or a name", order_level=True),
    Field("user_name", "name", "the customer's name", order_level=True),
    Field("user_email", "email", "the customer's e-mail, stored in lower case", order_level=True),
    Field("user_age", "age", "the customer's age in years, 0 to 150", order_level=True),
    Field("user_country", "country", "the customer's country", order_level=True),
    Field("roles", "raw", "role slugs; counts only for roles that profile and importer may grant", order_level=True),
)

FIELDS: Final[dict[str, Field]] = {field.name: field for field in _ALL}
