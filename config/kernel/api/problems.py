"""
Errors as problem+json (RFC 9457).

Every refusal has a stable `code`; a request with several wrong fields lists them all in `errors`.
"""

from http import HTTPStatus
from typing import Any, Final

import structlog
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from config.kernel.errors import ApplicationError, violated_constraint

log = structlog.get_logger(__name__)

CONTENT_TYPE: Final = "application/problem+json"
TYPE: Final = "urn:sluice:problem:{code}"
CODES: Final = {
    "not_authenticated": "not_authenticated",
    "authentication_failed": "invalid_token",
    "permission_denied": "permission_denied",
    "parse_error": "malformed_request",
    "method_not_allowed": "method_not_allowed",
    "not_acceptable": "not_acceptable",
    "unsupported_media_type": "unsupported_media_type",
    "throttled": "too_many_requests",
    "not_found": "not_found",
}
RETRY_SECONDS: Final = 2
CHECKSUM_MISMATCH: Final = 460  # of tus 1.0; HTTP itself does not know it
TITLES: Final = {status.value: status.phrase for status in HTTPStatus} | {CHECKSUM_MISMATCH: "Checksum Mismatch"}


def problem(code: str, http_status: int, detail: str, **members: Any) -> dict[str, Any]:
    """
    The body of a problem.

    Args:
        code: stable, lower_snake_case.
        detail: a sentence for people: what is wrong and how to mend it.
        members: extension members, such as `errors` or the data of an ApplicationError.
    """
    return {
        "type": TYPE.format(code=code),
        "title": TITLES[http_status],
        "status": http_status,
        "code": code,
        "detail": detail,
        **members,
    }


def problem_response(code: str, http_status: int, detail: str, **members: Any) -> JsonResponse:
    """A problem as a plain Django response, for views outside of DRF."""
    return JsonResponse(problem(code, http_status, detail, **members), status=http_status, content_type=CONTENT_TYPE)


def application_problem(error: ApplicationError) -> dict[str, Any]:
    """What a service refused."""
    members = {name: value for name, value in error.data.items() if name not in ("type", "title", "status", "detail")}
    return problem(error.code, error.status, str(error), **members)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook: every exception of a view as a problem; None leaves a defect of ours to Django's handler (500)."""
    described = _describe(error)
    if described is None:
        return None
    body, headers = described
    set_rollback()
    return Response(body, status=body["status"], headers=headers, content_type=CONTENT_TYPE)


def _describe(error: Exception) -> tuple[dict[str, Any], dict[str, str]] | None:
    if isinstance(error, ApplicationError):
        return application_problem(error), getattr(error, "headers", {})
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, exceptions.ValidationError):
        return problem("invalid", 400, "Some fields are not valid; see errors.", errors=_field_errors(error)), {}
    if isinstance(error, exceptions.APIException):
        return _api_problem(error)
    if isinstance(error, OperationalError):
        log.warning("database_unavailable", error=str(error).strip())
        detail = "The database does not answer in time. Nothing was changed; try again."
        return problem("database_unavailable", 503, detail), {"Retry-After": str(RETRY_SECONDS)}
    if isinstance(error, IntegrityError):
        name = violated_constraint(error)
        log.info("constraint_refused", constraint=name, error=str(error).strip())
        return problem("conflict", 409, "The change contradicts what is stored.", constraint=name), {}
    return None


def _api_problem(error: exceptions.APIException) -> tuple[dict[str, Any], dict[str, str]]:
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header  # type: ignore[attr-defined]
    if getattr(error, "wait", None) is not None:
        headers["Retry-After"] = str(int(error.wait) + 1)  # type: ignore[attr-defined]
    code = str(getattr(error.detail, "code", None) or error.default_code)
    return problem(CODES.get(code, code), error.status_code, str(error.detail)), headers


def _field_errors(error: exceptions.ValidationError) -> list[dict[str, str]]:
    """Nested errors of a serializer as a flat list: {"field": "lines.0.quantity", "code": …, "message": …}."""
    found: list[dict[str, str]] = []

    def walk(detail: Any, path: str) -> None:
        if isinstance(detail, dict):
            for name, inner in detail.items():
                step = "" if name == "non_field_errors" else str(name)
                walk(inner, ".".join(part for part in (path, step) if part))
        elif isinstance(detail, list):
            for number, inner in enumerate(detail):
                nested = isinstance(inner, dict | list)
                walk(inner, f"{path}.{number}".lstrip(".") if nested else path)
        else:
            found.append({"field": path, "code": str(getattr(detail, "code", "invalid")), "message": str(detail)})

    walk(error.detail, "")
    return found


def not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """Django's handler404 for paths that no pattern matches."""
    return problem_response("not_found", status.HTTP_404_NOT_FOUND, f"There is nothing at {request.path}.")


def server_error(request: HttpRequest) -> JsonResponse:
    """Django's handler500."""
    detail = "Something went wrong on our side; it was logged. Quote the X-Request-ID of this answer."
    return problem_response("server_error", status.HTTP_500_INTERNAL_SERVER_ERROR, detail)
