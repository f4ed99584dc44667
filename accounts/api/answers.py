"""What the views share: checked bodies, answers with an ETag, the moment of a request."""

from typing import Any, Final, cast

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.caching import Rendered
from accounts.services.locking import Expect
from config.kernel.api.conditional import etag_of, not_modified, require_match
from config.kernel.api.strict import StrictSerializer

PRIVATE: Final = "private, no-cache"  # may be kept by the reader, who asks each time whether it still holds


def valid(serializer_class: type[StrictSerializer], data: Any) -> dict[str, Any]:
    """The body of a request, checked. Raises ValidationError."""
    serializer = serializer_class(data=data)
    serializer.is_valid(raise_exception=True)
    return cast("dict[str, Any]", serializer.validated_data)


def expected(request: Request) -> Expect:
    """What a service is to call with the version of the row: the request's If-Match."""
    return lambda version: require_match(request, etag_of(version))


def described(document: dict[str, Any], *, status: int = 200, location: str | None = None) -> Response:
    """An answer with an ETag."""
    headers = {"ETag": etag_of(document["version"]), "Cache-Control": PRIVATE}
    return Response(document, status=status, headers=headers | ({"Location": location} if location else {}))


def rendered(request: Request, found: Rendered) -> HttpResponse:
    """The same from the cache; 304 if the reader has it already."""
    headers = {"ETag": etag_of(found.version), "Cache-Control": PRIVATE}
    if not_modified(request, headers["ETag"]):
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(found.body, content_type="application/json", headers=headers)
