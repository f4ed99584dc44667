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
    message = "Import {import_id} is {state} and cannot go on. Start a new one, with force."


class ParentNotUsableError(ApplicationError):
    code, status = "parent_not_usable", 409
    message = "Import {parent_id} is {state}: only an import that was completed can have a child."


class SourceDiffersError(ApplicationError):
    code, status = "source_differs", 409
    message = (
        "{name} is not the file that import {import_id} was planned from (chunk {number} differs). "
        "Start a new import of the file as it is now with --force."
    )


class UnknownProfileError(ApplicationError):
    """404 like any other thing that a request names and that is not there: a parent, an upload."""

    code, status = "unknown_profile", 404
    message = "There is no profile {profile!r}: {hint}"


class ProfileInvalidError(ApplicationError):
    """
    `errors` lists everything that is wrong: field (path in the profile), code, message and hint.

    422, not 400: whether options fit together is more than a schema can say.
    """

    code, status = "invalid_profile", 422
    message = "The profile cannot be used; see errors."


class ProfileNotFoundError(ApplicationError):
    code, status = "profile_not_found", 404
    message = "There is no profile {profile!r}."


class ProfileExistsError(ApplicationError):
    code, status = "profile_exists", 409
    message = "There is a profile {profile!r} already. Change it with PUT /profiles/{profile}."


class ProfileBuiltInError(ApplicationError):
    code, status = "profile_built_in", 409
    message = "{profile!r} ships with Sluice and cannot be changed. Keep yours under another name."


class UploadPartialError(ApplicationError):
    code, status = "upload_is_partial", 409
    message = "Upload {upload_id} is one part of several. Concatenate them, and import the final upload."


class BytesGoneError(ApplicationError):
    code, status = "bytes_gone", 410
    message = "The bytes of {name} are not kept any more."


class ImportOfCommandError(ApplicationError):
    code, status = "import_of_command", 409
    message = "Import {import_id} was started by ingest_csv, which reads a file of its own machine. Run it there again."


class ImportNotStartedError(ApplicationError):
    code, status = "import_not_started", 409
    message = "Import {import_id} has not been started yet: POST /imports/{import_id}/start."


class ImportNotStoppedError(ApplicationError):
    code, status = "import_not_stopped", 409
    message = "Import {import_id} is {state}: only one that failed or was cancelled leaves records unprocessed."


class CertificateNotReadyError(ApplicationError):
    code, status = "certificate_not_ready", 409
    message = "Import {import_id} is {state} and has no certificate yet."
    headers = {"Retry-After": "2"}


class SeveralHeadersError(ApplicationError):
    """`links` has the address of each source's file."""

    code, status = "several_headers", 409
    message = "The files of import {import_id} have different headers; ask for one of them by ?source=."


class SourceNotFoundError(ApplicationError):
    code, status = "source_not_found", 404
    message = "Import {import_id} has no source {source}."


class PreviewsBusyError(ApplicationError):
    code, status = "previews_busy", 503
    message = "Too many previews are being made. Try again in a moment."
    headers = {"Retry-After": "5"}


class UnreadableSourceError(ApplicationError):
    """`reason` is the reader's own code, such as `unreadable_header`."""

    code, status = "unreadable_source", 422
    message = "{name} cannot be read: {explanation} {hint}"
