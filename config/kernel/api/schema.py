"""What drf-spectacular is told about every endpoint: how errors look and which ones to expect."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers

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
