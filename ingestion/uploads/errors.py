"""What uploads refuse."""

from typing import Any

from config.kernel.errors import ApplicationError


class UploadNotFoundError(ApplicationError):
    code, status = "upload_not_found", 404
    message = "There is no upload {upload_id}."


class UploadGoneError(ApplicationError):
    """410 where we removed the bytes; 404 where their owner did, who knows that they are not there any more."""

    code, status = "upload_gone", 410
    message = "The bytes of upload {upload_id} were removed: it is {state}."

    def __init__(self, *, upload_id: Any, state: str) -> None:
        super().__init__(upload_id=upload_id, state=state)
        self.status = 404 if state == "terminated" else 410  # type: ignore[misc]


class UploadNotYoursError(ApplicationError):
    code, status = "upload_not_yours", 403
    message = "Upload {upload_id} belongs to somebody else; you may only look at it."


class UploadTooLargeError(ApplicationError):
    code, status = "upload_too_large", 413
    message = "An upload can have {limit_bytes} bytes at most."


class UploadTooLongError(ApplicationError):
    code, status = "upload_too_long", 413
    message = "Upload {upload_id} was announced with {length_bytes} bytes; these would be more."


class QuotaExceededError(ApplicationError):
    code, status = "upload_quota_exceeded", 413
    message = (
        "You have {used_bytes} of {quota_bytes} bytes stored or announced. Delete uploads that you no longer need, "
        "or wait until they expire."
    )


class OffsetMismatchError(ApplicationError):
    code, status = "upload_offset_mismatch", 409
    message = "Upload {upload_id} goes on at byte {offset_bytes}, not at {given_bytes}."

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)
        self.headers = {"Upload-Offset": str(data["offset_bytes"])}


class UploadInUseError(ApplicationError):
    code, status = "upload_in_use", 409
    message = "Upload {upload_id} is being imported. Cancel import {import_id} first."


class FinalUploadError(ApplicationError):
    code, status = "upload_is_final", 403
    message = "Upload {upload_id} is made of others; nothing can be added to it."


class UploadTakenOverError(ApplicationError):
    """Another request writes to (or asked about) the same upload; what had arrived until then is kept if possible."""

    code, status = "upload_taken_over", 409
    message = "Another request took over upload {upload_id}. Ask for its offset, then go on from there."


class UploadInterruptedError(ApplicationError):
    """The server stops, or nothing came for a long time; what had arrived is kept."""

    code, status = "upload_interrupted", 503
    message = "The upload was interrupted: {reason}. Ask for its offset, then go on from there."
    headers = {"Retry-After": "1"}


class UploadCutError(ApplicationError):
    """The body ended before it was complete. Nobody listens any more; for the log."""

    code, status = "upload_cut", 400
    message = "The body ended too early. What arrived is kept as upload {upload_id}, up to byte {offset_bytes}."


class MalformedBodyError(ApplicationError):
    code, status = "malformed_body", 400
    message = "The chunked encoding of the body is broken. What arrived before is kept."


class LengthKnownError(ApplicationError):
    code, status = "upload_length_known", 400
    message = "Upload {upload_id} has {length_bytes} bytes; its length cannot be changed."


class LengthBelowOffsetError(ApplicationError):
    code, status = "upload_length_below_offset", 400
    message = "Upload {upload_id} already has {offset_bytes} bytes, so it cannot end at {length_bytes}."


class PartNotUsableError(ApplicationError):
    code, status = "upload_part_not_usable", 400
    message = "{part} cannot be a part: it has to be a partial upload of your own."


class PartUnfinishedError(ApplicationError):
    code, status = "upload_part_unfinished", 409
    message = "Partial upload {part} is not finished yet."


class ChecksumMismatchError(ApplicationError):
    code, status = "checksum_mismatch", 460
    message = "The {algorithm} checksum differs: these bytes were damaged on the way and are not kept. Send them again."


class ChecksumInvalidError(ApplicationError):
    code, status = "checksum_invalid", 400
    message = "Upload-Checksum is an algorithm ({algorithms}), a space, and the checksum in base64."


class StorageFullError(ApplicationError):
    code, status = "storage_full", 507
    message = "There is no room for more bytes. What was stored stays; go on when room was made."


class NoRoomToUnpackError(StorageFullError):
    """Whoever owns the upload can make room, so the import pauses, as on a full disk."""

    message = "Its owner has {used_bytes} of {quota_bytes} bytes stored, announced or unpacked."


class StorageUnavailableError(ApplicationError):
    code, status = "storage_unavailable", 503
    message = "The storage of uploads does not take or give bytes: {reason}. What was stored stays; try again."
    headers = {"Retry-After": "5"}
