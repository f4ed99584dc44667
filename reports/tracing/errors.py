"""What cannot be traced."""

from config.kernel.errors import ApplicationError


class RecordNotFoundError(ApplicationError):
    code, status = "record_not_found", 404
    message = "Import {import_id} has no record {record}: {hint}"
