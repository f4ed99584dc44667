"""
Uploads over HTTP: tus 1.0 (https://tus.io/protocols/resumable-upload) at /uploads, and JSON for people who ask by GET.

Without Tus-Resumable, GET lists uploads and shows one; everything else is tus. What is written here is the protocol;
the bytes are received by `ingestion.uploads.receiving`.
"""

import uuid
from typing import Any, Final

import structlog
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import signed_in
from accounts.models import User
from config.kernel.api.pagination import KeysetPagination
from config.kernel.api.permissions import SIGNED_IN
from config.kernel.api.queries import checked_query
from config.kernel.bodies import RequestBody
from config.kernel.errors import ApplicationError
from ingestion.api import upload_schema
from ingestion.api.access import upload_controlled, upload_seen, upload_with_bytes, visible_uploads
from ingestion.api.tus_headers import (
    CONTENT_TYPE,
    VERSION,
    VersionNotSupportedError,
    announced_length,
    capabilities,
    concatenation,
    description,
    progress_headers,
    refusal,
    state_headers,
    upload_url,
    whole_number,
)
from ingestion.api.upload_documents import upload_document, upload_documents
from ingestion.api.whole import StreamingBodyView
from ingestion.clock import utc_now
from ingestion.intake import Wishes, import_from_upload
from ingestion.models import AUTO, FINAL, Upload
from ingestion.profiles import Profile
from ingestion.uploads.checksums import Checksum
from ingestion.uploads.errors import (
    FinalUploadError,
    OffsetMismatchError,
    UploadNotFoundError,
    UploadTooLongError,
)
from ingestion.uploads.receiving import Receiver
from ingestion.uploads.services import (
    Description,
    Writer,
    upload_alive,
    upload_concatenate,
    upload_create,
    upload_set_length,
    upload_settle,
    upload_terminate,
    writer_release,
    writer_take,
)

READING: Final = frozenset({"GET", "OPTIONS"})


class JsonAlways(BaseContentNegotiation):
    """Clients of tus accept whatever comes, and say so or not."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class TusView(StreamingBodyView):
    """What all requests of the protocol have in common."""

    content_negotiation_class = JsonAlways
    body: RequestBody

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.body = RequestBody(request.META)
        override = request.META.get("HTTP_X_HTTP_METHOD_OVERRIDE")
        if override:
            request.method = override.strip().upper()
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method == "OPTIONS":
            return  # what the server can do is no secret
        super().initial(request, *args, **kwargs)
        version = request.headers.get("Tus-Resumable")
        if version != VERSION and (version is not None or request.method not in READING):
            raise VersionNotSupportedError

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        """What this server can do."""
        return Response(status=204, headers=capabilities())

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers["Tus-Resumable"] = VERSION
        if response.status_code in upload_schema.PHRASES:
            response.reason_phrase = upload_schema.PHRASES[response.status_code]
        return response


class UploadsView(TusView):
    """Create an upload, with or without its first bytes; list uploads."""

    permissions = {"GET": SIGNED_IN, "POST": "ingestion.add_upload"}
    orderings = {"-created_at": ("-created_at", "-id"), "created_at": ("created_at", "id")}
    pagination_class = KeysetPagination

    @extend_schema(**upload_schema.LIST)
    def get(self, request: Request) -> Response:
        """The uploads that one may see, the newest first."""
        self._filters = checked_query(request, upload_schema.UploadFilterSerializer)
        pages = self.pagination_class()
        page = pages.paginate_queryset(self._listed(request), request, view=self)
        return pages.get_paginated_response(upload_documents(page or []))

    @extend_schema(**upload_schema.CREATE)
    def post(self, request: Request) -> Response:
        """Create an upload (tus: creation, creation-with-upload, creation-defer-length, concatenation)."""
        partial, parts = concatenation(request.headers)
        about, profile = description(request.headers, signed_in(request))
        if parts is not None:
            upload = self._concatenate(request, parts, about)
        else:
            upload = self._create(request, about, profile, partial=partial)
        structlog.contextvars.bind_contextvars(upload_id=str(upload.pk))
        headers = {"Location": upload_url(upload.pk), **progress_headers(upload)}
        return Response(upload_document(upload), status=201, headers=headers)

    def walked(self, ordering: str) -> QuerySet[Upload] | None:
        """No index serves the filters."""
        return visible_uploads(signed_in(self.request)) if self._filters else None

    def _listed(self, request: Request) -> QuerySet[Upload]:
        columns = {"state": "state", "owner": "owner_id"}
        return visible_uploads(signed_in(request)).filter(
            **{columns[name]: value for name, value in self._filters.items()}
        )

    def _concatenate(self, request: Request, parts: list[uuid.UUID], about: Description) -> Upload:
        if "Upload-Length" in request.headers or "Upload-Defer-Length" in request.headers:
            raise refusal("Upload-Length", "The length of a final upload is that of its parts; do not send it.")
        if self.body.expected_bytes != 0:
            raise refusal("Upload-Concat", "A final upload has no bytes of its own.")
        return upload_concatenate(owner_id=signed_in(request).pk, parts=parts, description=about, now=utc_now())

    def _create(self, request: Request, about: Description, profile: Profile, *, partial: bool) -> Upload:
        length = announced_length(request.headers)
        brings_bytes = self.body.expected_bytes != 0
        checksum = _checksum(request)
        if brings_bytes:
            _require_type(request)
        if length is not None and (self.body.expected_bytes or 0) > length:
            raise UploadTooLongError(upload_id="", length_bytes=length)
        upload = upload_create(
            owner_id=signed_in(request).pk,
            description=about,
            length_bytes=length,
            partial=partial,
            created=None if partial else _follower(signed_in(request), about, profile),
            now=utc_now(),
        )
        if not brings_bytes:
            return upload
        writer = writer_take(upload_id=upload.pk)
        try:
            return _received(upload, writer, self.body, checksum)
        except ApplicationError as error:
            # The client may go on, or try again.
            known = {"Location": upload_url(upload.pk), **progress_headers(upload_alive(upload.pk))}
            error.headers = {**getattr(error, "headers", {}), **known}  # type: ignore[attr-defined]
            raise


class UploadView(TusView):
    """Ask about an upload, go on with it, terminate it."""

    permissions = {
        "GET": SIGNED_IN,
        "PATCH": "ingestion.add_upload",
        "DELETE": "ingestion.add_upload",
    }

    @extend_schema(**upload_schema.SHOW)
    def get(self, request: Request, upload_id: str) -> Response:
        """An upload with its imports, as JSON."""
        upload = upload_seen(signed_in(request), _upload_id(upload_id))
        return Response(upload_document(upload), headers={"Cache-Control": "no-store"})

    @extend_schema(**upload_schema.HEAD)
    def head(self, request: Request, upload_id: str) -> Response:
        """The offset (tus: core). When its owner asks, whoever writes right now saves what it has, and stops."""
        upload = upload_with_bytes(signed_in(request), _upload_id(upload_id))
        if upload.owner_id == signed_in(request).pk:
            upload = upload_settle(upload_id=upload.pk, now=utc_now())
        return Response(headers=state_headers(upload))

    @extend_schema(**upload_schema.PATCH)
    def patch(self, request: Request, upload_id: str) -> Response:
        """Add bytes (tus: core, checksum)."""
        _require_type(request)
        offset, length = whole_number(request.headers, "Upload-Offset"), whole_number(request.headers, "Upload-Length")
        if offset is None:
            raise refusal("Upload-Offset", "Say at which byte these go on.")
        checksum = _checksum(request)
        upload = upload_controlled(signed_in(request), _upload_id(upload_id))
        if upload.concatenation == FINAL:
            raise FinalUploadError(upload_id=upload.pk)
        # Nobody who writes is disturbed for nothing; of a request that was cut off, HEAD has saved what it had.
        _require_offset(upload, offset)
        writer = writer_take(upload_id=upload.pk)
        try:
            upload = self._checked(upload_alive(upload.pk), offset=offset, length=length)
        except BaseException:
            if writer is not None:
                writer_release(writer)
            raise
        upload = _received(upload, writer, self.body, checksum)
        return Response(status=204, headers=progress_headers(upload))

    @extend_schema(**upload_schema.DELETE)
    def delete(self, request: Request, upload_id: str) -> Response:
        """Delete the bytes of an upload (tus: termination)."""
        upload = upload_controlled(signed_in(request), _upload_id(upload_id), to_delete=True)
        upload_terminate(upload_id=upload.pk)
        return Response(status=204)

    def _checked(self, upload: Upload, *, offset: int, length: int | None) -> Upload:
        """The upload as the writer finds it, which nobody else changes now."""
        _require_offset(upload, offset)
        if length is not None:
            upload_set_length(upload_id=upload.pk, length_bytes=length)
            upload.length_bytes = length
        if upload.length_bytes is not None and offset + (self.body.expected_bytes or 0) > upload.length_bytes:
            raise UploadTooLongError(upload_id=upload.pk, length_bytes=upload.length_bytes)
        return upload


def _require_offset(upload: Upload, offset: int) -> None:
    if offset != upload.offset_bytes:
        raise OffsetMismatchError(upload_id=upload.pk, offset_bytes=upload.offset_bytes, given_bytes=offset)


def _received(upload: Upload, writer: Writer | None, body: RequestBody, checksum: Checksum | None) -> Upload:
    if writer is None:  # complete: a body of 0 bytes changes nothing, and one of more was refused
        return upload
    return Receiver(upload=upload, writer=writer, body=body, checksum=checksum).run()


def _follower(user: User, about: Description, profile: Profile) -> Any:
    """What makes the import that is to begin while the bytes still arrive."""
    wishes = Wishes.from_dict(about.options or {})
    if about.start != AUTO or not wishes.while_uploading or not user.has_perm("ingestion.add_import"):
        return None

    def follow(upload: Upload) -> None:
        import_from_upload(
            upload=upload,
            profile=profile,
            wishes=wishes,
            created_by_id=user.pk,
            now=utc_now(),
        )

    return follow


def _upload_id(text: str) -> uuid.UUID:
    """What stands in the address; raises UploadNotFoundError."""
    try:
        upload_id = uuid.UUID(text)
    except ValueError:
        raise UploadNotFoundError(upload_id=text) from None
    structlog.contextvars.bind_contextvars(upload_id=str(upload_id))
    return upload_id


def _require_type(request: Request) -> None:
    given = request.content_type or ""
    if given.partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise UnsupportedMediaType(given, detail=f"The type of these bytes has to be {CONTENT_TYPE}.")


def _checksum(request: Request) -> Checksum | None:
    value = request.headers.get("Upload-Checksum")
    return None if value is None else Checksum.from_header(value.strip())
