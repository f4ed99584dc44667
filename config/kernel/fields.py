"""Natural text keys: ids that callers and files bring along."""

from typing import Any

from django.core.validators import RegexValidator
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

TEXT_KEY_LENGTH = 128

# C0 and C1 control characters and DEL; and what Unicode calls a space or a line separator (categories Zs, Zl, Zp).
_CONTROLS = r"\u0001-\u001f\u007f-\u009f"
_SPACES = r"\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# Means the same to Python and to Postgres: an edge character, or one, anything but controls, and another.
TEXT_KEY_PATTERN = rf"\A[^{_CONTROLS}{_SPACES}](?:[^{_CONTROLS}]*[^{_CONTROLS}{_SPACES}])?\Z"
TEXT_KEY_MESSAGE = "Must not be empty, begin or end with a space, or contain control characters."


class TextKeyField(models.CharField):  # type: ignore[type-arg]
    """
    A text key: at most 128 characters, COLLATE "C", no control characters, no spaces at its edges.

    Django gives every unique or indexed varchar column a second, `_like` index for prefix searches. With
    COLLATE "C" the ordinary index serves them. Django decides by the type's name, and `character varying` is the
    same type under a name that it does not look for.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", TEXT_KEY_LENGTH)
        kwargs.setdefault("db_collation", "C")
        super().__init__(*args, **kwargs)

    default_validators = [RegexValidator(TEXT_KEY_PATTERN, TEXT_KEY_MESSAGE, code="invalid_key")]

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return f"character varying({self.max_length})"


def text_key_check(field: str, *, name: str) -> models.CheckConstraint:
    """The rules of a text key as a constraint of the database; its length is the column's. NULL passes."""
    return models.CheckConstraint(
        condition=models.Q(**{f"{field}__regex": TEXT_KEY_PATTERN}),
        name=name,
        violation_error_code="invalid_key",
        violation_error_message=TEXT_KEY_MESSAGE,
    )
