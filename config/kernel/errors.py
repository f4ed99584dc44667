"""The base of every error that a caller can understand: a stable code, an HTTP status, a message, and data."""

from typing import Any, ClassVar

from django.db import IntegrityError


class ApplicationError(Exception):
    """
    One subclass for each reason of refusal. The boundary (view, command) translates it; nothing in between catches it.

    Subclasses set `code` (stable, lower_snake_case), `status` (of HTTP) and `message`, a template filled from the data:

        class ImportNotCancellable(ApplicationError):
            code, status = "import_not_cancellable", 409
            message = "Import {import_id} has already ended."

        raise ImportNotCancellable(import_id=7)
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400
    message: ClassVar[str] = "The request was refused."

    def __init__(self, **data: Any) -> None:
        super().__init__(self.message.format(**data))
        self.data = data


def violated_constraint(error: IntegrityError) -> str | None:
    """The name of the constraint that Postgres says was violated; None: it names none."""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
