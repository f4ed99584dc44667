"""Columns of a record that are attributes of a user or an item: {column: attribute as stored}."""

from typing import Final

USER_FIELDS: Final = {"user_email": "email", "user_name": "name", "user_age": "age", "user_country": "country"}
ITEM_FIELDS: Final = {"item_name": "name"}
