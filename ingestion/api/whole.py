"""A whole file as the body of one request: `curl -T orders.csv …/imports?profile=webshop`."""

from typing import Any, Final

import structlog
from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.utils.datastructures import MultiValueDict
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.views import APIView

from config.kernel.bodies import RequestBody
from config.kernel.errors import ApplicationError
from ingestion.clock import utc_now
from ingestion.models import Upload
from ingestion.uploads.errors import (
    StorageFullError,
    StorageUnavailableError,
    UploadCutError,
    UploadInterruptedError,
    UploadTakenOverError,
)
from ingestion.uploads.receiving import Receiver
from ingestion.uploads.services import WHOLE, Completed, Description, upload_create, upload_terminate, writer_take

KEPT: Final = (
    UploadCutError,
    UploadInterruptedError,
    StorageFullError,
    StorageUnavailableError,
    UploadTakenOverError,
)
"""After these the upload stays, and can be gone on with."""


class StreamingBodyView(APIView):
    """A view that reads its request's body as a stream, and lets nothing else read it."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # The check of CSRF tokens looks for one among the fields of a form, and would take the stream for that.
        request._post, request._files = QueryDict(), MultiValueDict()  # type: ignore[attr-defined]
        return super().dispatch(request, *args, **kwargs)


def receive_whole(request: Request, *, description: Description, completed: Completed) -> Upload:
    """
    Store the body of a request as an upload, with its SHA-256.

    Only a whole body completes: all that Content-Length announced, or, chunked, up to the last chunk. When the
    connection breaks before, or the disk is full, what arrived is kept as an unfinished upload, which `GET /uploads`
    lists and tus can go on with (`PATCH`, with Upload-Length if the body was chunked); completed that way it is
    imported as `description` says. Nothing is imported of half a file.

    Args:
        completed: called in the transaction that completes the upload; what it refuses is raised here.
    Raises:
        UnsupportedMediaType: a form; its boundaries would be taken for records.
        UploadTooLargeError, QuotaExceededError: before a byte of the body is read, if it says how long it is.
        UploadCutError, MalformedBodyError, UploadInterruptedError, StorageFullError, StorageUnavailableError
    """
    if (request.content_type or "").lower().startswith("multipart/"):
        raise UnsupportedMediaType(request.content_type, detail="Send the file itself as the body, not a form.")
    body = RequestBody(request.META)
    upload = upload_create(
        owner_id=str(request.user.pk),
        kind=WHOLE,
        description=description,
        length_bytes=body.expected_bytes,
        completed=completed,
        now=utc_now(),
    )
    structlog.contextvars.bind_contextvars(upload_id=str(upload.pk))
    writer = writer_take(upload_id=upload.pk)
    if writer is None:  # 0 bytes
        return upload
    receiver = Receiver(
        upload=upload, writer=writer, body=body, hashed=True, ends=body.expected_bytes is None, completed=completed
    )
    try:
        return receiver.run()
    except KEPT:
        raise
    except ApplicationError:
        upload_terminate(upload_id=upload.pk)
        raise
