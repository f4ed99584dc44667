"""What the services of ingestion refuse."""

from config.kernel.errors import ApplicationError


class ImportNotFoundError(ApplicationError):
    code, status = "import_not_found", 404
    message = "There is no import {import_id}."


class ImportNotPausableError(ApplicationError):
    code, status = "import_not_pausable", 409
    message = "Import {import_id} is not running, so it cannot be paused."


class ImportNotCancellableError(ApplicationError):
    code, status = "import_not_cancellable", 409
    message = "Import {import_id} has already ended."


class ImportNotResumableError(ApplicationError):
    code, status = "import_not_resumable", 409
    message = "Import {import_id} is {state} and cannot go on. Start a new one with --force."


class ParentNotUsableError(ApplicationError):
    code, status = "parent_not_usable", 409
    message = "Import {parent_id} is {state}: only an import that was completed can have a child."


class SourceDiffersError(ApplicationError):
    code, status = "source_differs", 409
    message = (
        "{name} is not the file that import {import_id} was planned from (chunk {number} differs). "
        "Start a new import of the file as it is now with --force."
    )
