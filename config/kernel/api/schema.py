"""
What drf-spectacular is told about every endpoint: how errors look, which ones to expect, and what the headers are that
several have. A header of answers belongs to those statuses that an operation has.
"""

from typing import Any, Final

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from config.kernel.api.idempotency import KEEP_HOURS, MAX_LENGTH, PATTERN, REPLAYED
from config.kernel.api.problems import problem

EXAMPLES: Final = {
    400: ("invalid", "Some fields are not valid; see errors."),
    401: ("not_authenticated", "Authentication credentials were not provided."),
    403: ("permission_denied", "None of your roles grants this."),
    404: ("not_found", "No such resource."),
    406: ("not_acceptable", "Only application/json is served here."),
    409: ("conflict", "The change contradicts what is stored."),
    410: ("gone", "Its bytes were removed."),
    412: ("precondition_failed", "It was changed meanwhile."),
    413: ("too_large", "It is larger than is allowed."),
    415: ("unsupported_media_type", "This media type is not read here."),
    422: ("idempotency_key_reused", "This Idempotency-Key was used for another request."),
    428: ("precondition_required", "Send If-Match."),
    429: ("too_many_requests", "Too many requests; see Retry-After."),
    460: ("checksum_mismatch", "The sha1 checksum differs: these bytes were damaged on the way. Send them again."),
    503: ("database_unavailable", "The database does not answer in time. Nothing was changed; try again."),
    507: ("storage_full", "There is no room for these bytes."),
}

IF_MATCH: Final = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    # Not `required`: without it the answer is 428 only for those who may know that the resource exists.
    description="The ETag of what you have read, or `*`. Needed: without it the answer is 428.",
)
IF_MATCH_OPTIONAL: Final = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="Refuse when it is not this version any more."
)
IF_NONE_MATCH: Final = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="An ETag that you have; 304 if it still holds."
)
ETAG: Final = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 201, 304], description='Another one when this changes: `"3"`.'
)
LOCATION: Final = OpenApiParameter(
    "Location", OpenApiTypes.URI_REF, OpenApiParameter.HEADER, response=[200, 201, 202], description="Where it is."
)
IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "pattern": f"^{PATTERN}$"},
    OpenApiParameter.HEADER,
    description=f"A request that is repeated with its key within {KEEP_HOURS} hours gets the first one's answer.",
)
IDEMPOTENT_REPLAYED: Final = OpenApiParameter(
    REPLAYED,
    {"type": "string", "enum": ["true"]},
    OpenApiParameter.HEADER,
    response=[200, 201, 202],
    description="Only there when this is the answer to an earlier request with the same Idempotency-Key.",
)
IDEMPOTENCY: Final = (IDEMPOTENCY_KEY, IDEMPOTENT_REPLAYED)


class Schema(AutoSchema):
    """
    How drf-spectacular reads our views.

    It looks at the answers that are no problems when it asks whether a view gives a list: only then it documents the
    parameters of the pages. Otherwise the problems, whose keys are (status, media type), would come first.
    """

    def _is_list_view(self, serializer: Any = None) -> bool:
        if serializer is None:
            serializer = self.get_response_serializers()
        if isinstance(serializer, dict):
            serializer = {code: each for code, each in serializer.items() if not isinstance(code, tuple)}
        return bool(super()._is_list_view(serializer))


class FieldErrorSerializer(serializers.Serializer[Any]):
    """One field that is not valid."""

    field = serializers.CharField(help_text="path of the field, such as lines.0.quantity; empty: the whole body")
    code = serializers.CharField()
    message = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """An error (RFC 9457); `code` is stable, `detail` is for people."""

    type = serializers.CharField(help_text="urn:sluice:problem:<code>")
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment]


def problem_responses(*statuses: int) -> dict[Any, OpenApiResponse]:
    """
    Entries for the `responses` of `extend_schema`: these statuses as problem+json, with an example each.

    401, 403, 429 and 503 can come from everywhere and are always among them.
    """
    return {
        (status, "application/problem+json"): OpenApiResponse(
            ProblemSerializer,
            description=EXAMPLES[status][1],
            examples=[OpenApiExample(EXAMPLES[status][0], value=_example(status))],
        )
        for status in sorted({*statuses, 401, 403, 429, 503})
    }


def _example(status: int) -> dict[str, Any]:
    code, detail = EXAMPLES[status]
    errors = [{"field": "quantity", "code": "min_value", "message": "Must not be 0."}]
    return problem(code, status, detail, **({"errors": errors} if code == "invalid" else {}))
