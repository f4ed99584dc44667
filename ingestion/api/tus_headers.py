"""
The headers of tus 1.0 (https://tus.io/protocols/resumable-upload), read strictly and written.

Every refusal of a header is a ValidationError whose field is the header's name.
"""

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.utils.http import http_date
from rest_framework.exceptions import ErrorDetail, ValidationError

from accounts.models import User
from config.kernel.errors import ApplicationError
from ingestion.api.access import import_controlled
from ingestion.errors import ImportNotFoundError, ProfileInvalidError, UnknownProfileError
from ingestion.intake import Wishes
from ingestion.models import AUTO, FINAL, MANUAL, PARTIAL, Upload
from ingestion.profile_store import profile_named
from ingestion.profiles import Profile
from ingestion.services import root_of
from ingestion.uploads.checksums import ALGORITHMS
from ingestion.uploads.errors import UploadTooLargeError
from ingestion.uploads.services import Description

VERSION: Final = "1.0.0"
EXTENSIONS: Final = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "checksum",
    "termination",
    "expiration",
    "concatenation",
)
CONTENT_TYPE: Final = "application/offset+octet-stream"
COLLECTION: Final = "/uploads"

INTEGER: Final = re.compile(r"[0-9]{1,30}")
FLAGS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": True}
FLAG_NAMES: Final = ("dry_run", "while_uploading", "force")
MAX_FILENAME: Final = 1024


class VersionNotSupportedError(ApplicationError):
    code, status = "tus_version_not_supported", 412
    message = f"Send Tus-Resumable: {VERSION}, the version of the protocol that is spoken here."
    headers = {"Tus-Version": VERSION}


# Read


def whole_number(headers: Mapping[str, str], name: str) -> int | None:
    """A header's number of bytes; None when it is not there."""
    value = headers.get(name)
    if value is None:
        return None
    if not INTEGER.fullmatch(value.strip()):
        raise refusal(name, "It is a number of bytes, 0 or more.")
    return int(value)


def announced_length(headers: Mapping[str, str]) -> int | None:
    """The length of a new upload; None when it is deferred. One of both headers is needed."""
    length, deferred = whole_number(headers, "Upload-Length"), headers.get("Upload-Defer-Length")
    if deferred is not None and deferred.strip() != "1":
        raise refusal("Upload-Defer-Length", "It can only be 1.")
    if (length is None) == (deferred is None):
        raise refusal("Upload-Length", "Send Upload-Length, or Upload-Defer-Length: 1, and not both.")
    if length is not None and length > settings.UPLOAD_MAX_BYTES:
        raise UploadTooLargeError(limit_bytes=settings.UPLOAD_MAX_BYTES)
    return length


def concatenation(headers: Mapping[str, str]) -> tuple[bool, list[uuid.UUID] | None]:
    """Upload-Concat as (whether it is a partial upload, the parts of a final one)."""
    value = headers.get("Upload-Concat", "").strip()
    if value in ("", PARTIAL):
        return value == PARTIAL, None
    kind, _, parts = value.partition(";")
    if kind.strip() != FINAL or not parts.strip():
        raise refusal("Upload-Concat", 'It is "partial", or "final;" and the URLs of the parts with spaces between.')
    return False, [_part_id(url) for url in parts.split()]


def metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """Upload-Metadata: keys and base64 values, "filename d29ybGQ=,dry_run"."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in headers.get("Upload-Metadata", "").split(","))):
        key, *values = pair.split()
        if key in found or len(values) > 1 or not key.isascii():
            raise refusal("Upload-Metadata", "It has pairs of a key and a base64 value, each key once.")
        try:
            found[key] = base64.b64decode(values[0] if values else "", validate=True).decode()
        except (binascii.Error, ValueError):
            raise refusal(f"Upload-Metadata.{key}", "Its value is not the base64 form of UTF-8 text.") from None
        if "\0" in found[key]:
            raise refusal(f"Upload-Metadata.{key}", "Texts contain no NUL characters.")
    return found


def description(headers: Mapping[str, str], user: User) -> tuple[Description, Profile]:
    """What shall become of an upload, and the profile that results from it; everything wrong is told now."""
    given = metadata(headers)
    start = given.get("start", AUTO)
    if start not in (AUTO, MANUAL):
        raise refusal("Upload-Metadata.start", f"It is {AUTO} or {MANUAL}.")
    filename = given.get("filename", given.get("name", ""))
    if len(filename) > MAX_FILENAME:
        raise refusal("Upload-Metadata.filename", f"It has at most {MAX_FILENAME} characters.")
    wishes = _wishes(given, user)
    profile = _profile(given, wishes)
    return (
        Description(
            filename=filename,
            profile=given.get("profile", ""),
            start=start,
            options=wishes.as_dict(),
            metadata=headers.get("Upload-Metadata", "").strip(),
        ),
        profile,
    )


def refusal(field: str, message: str) -> ValidationError:
    """One header, or key of the metadata, that is not valid."""
    return ValidationError({field: [ErrorDetail(message, "invalid")]})


def _wishes(given: Mapping[str, str], user: User) -> Wishes:
    flags: dict[str, Any] = {name: _flag(given, name) for name in FLAG_NAMES if name in given}
    return Wishes(on_conflict=given.get("on_conflict"), parent_id=_parent(given, user), **flags)


def _profile(given: Mapping[str, str], wishes: Wishes) -> Profile:
    try:
        return wishes.applied_to(profile_named(given.get("profile", "")))
    except UnknownProfileError as error:
        raise refusal("Upload-Metadata.profile", str(error)) from None
    except ProfileInvalidError as error:
        told = "; ".join(f"{each['field']} {each['message']}, {each['hint']}" for each in error.data["errors"])
        raise refusal("Upload-Metadata", told) from None


def _flag(given: Mapping[str, str], name: str) -> bool:
    try:
        return FLAGS[given[name].strip().lower()]
    except KeyError:
        raise refusal(f"Upload-Metadata.{name}", "It is true or false.") from None


def _parent(given: Mapping[str, str], user: User) -> int | None:
    value = given.get("parent")
    if value is None:
        return None
    if not INTEGER.fullmatch(value) or int(value) >= 1 << 63:
        raise refusal("Upload-Metadata.parent", "It is the id of an import.")
    try:
        import_controlled(user, int(value))
        return root_of(int(value)) and int(value)
    except (ImportNotFoundError, PermissionDenied):
        raise refusal("Upload-Metadata.parent", f"There is no import {value} of yours.") from None
    except ApplicationError as error:
        raise refusal("Upload-Metadata.parent", str(error)) from None


def _part_id(url: str) -> uuid.UUID:
    directory, _, name = urlsplit(url).path.rpartition("/")
    try:
        if directory.endswith(COLLECTION):
            return uuid.UUID(name)
    except ValueError:
        pass
    raise refusal("Upload-Concat", f"{url[:100]} is not the URL of an upload.")


# Write


def upload_url(upload_id: uuid.UUID) -> str:
    """The path of an upload."""
    return f"{COLLECTION}/{upload_id}"


def capabilities() -> dict[str, str]:
    """What OPTIONS tells."""
    return {
        "Tus-Version": VERSION,
        "Tus-Extension": ",".join(EXTENSIONS),
        "Tus-Max-Size": str(settings.UPLOAD_MAX_BYTES),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }


def progress_headers(upload: Upload) -> dict[str, str]:
    """Upload-Offset, and Upload-Expires while it is unfinished."""
    headers = {"Upload-Offset": str(upload.offset_bytes)}
    if upload.state == Upload.State.RECEIVING:
        headers["Upload-Expires"] = http_date(upload.expires_at.timestamp())
    return headers


def state_headers(upload: Upload) -> dict[str, str]:
    """What HEAD tells."""
    headers = {**progress_headers(upload), "Cache-Control": "no-store"}
    if upload.length_bytes is None:
        headers["Upload-Defer-Length"] = "1"
    else:
        headers["Upload-Length"] = str(upload.length_bytes)
    if upload.metadata:
        headers["Upload-Metadata"] = upload.metadata
    if upload.concatenation:
        urls = " ".join(upload_url(uuid.UUID(part)) for part in upload.parts)
        headers["Upload-Concat"] = f"final;{urls}" if upload.parts else upload.concatenation
    return headers
