"""
Refusals that come from Django or gunicorn before, or instead of, a view: problem+json like all others.

People in the admin get Django's pages.
"""

import json
from http import HTTPStatus
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views import defaults
from django.views.csrf import csrf_failure as csrf_failure_page
from gunicorn import util

from config.kernel.api.problems import CONTENT_TYPE, problem, problem_response

CODES_OF_GUNICORN: Final = {
    414: "uri_too_long",
    417: "expectation_failed",
    431: "headers_too_large",
    500: "server_error",
}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400: a host name that is not served, a form with too many fields."""
    if _for_people(request):
        return defaults.bad_request(request, exception)
    detail = "The request cannot be understood: its host, path, query or form is not acceptable."
    return problem_response("malformed_request", HTTPStatus.BAD_REQUEST, detail)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler403."""
    if _for_people(request):
        return defaults.permission_denied(request, exception)
    return problem_response("permission_denied", HTTPStatus.FORBIDDEN, "You may not do this.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler404: no pattern matches the path."""
    if _for_people(request):
        return defaults.page_not_found(request, exception)
    return problem_response("not_found", HTTPStatus.NOT_FOUND, "There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: a defect of ours."""
    if _for_people(request):
        return defaults.server_error(request)
    detail = "Something went wrong on our side; it was logged. Quote the X-Request-ID of this answer."
    return problem_response("server_error", HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW."""
    if _for_people(request):
        return csrf_failure_page(request, reason)
    detail = "The CSRF token is missing or wrong. Programs use a bearer token, which needs none."
    return problem_response("csrf_failed", HTTPStatus.FORBIDDEN, detail)


def method_not_allowed(*allowed: str) -> HttpResponse:
    """405 of a view that is not DRF's."""
    detail = f"Only {' and '.join(allowed)} can be asked for here."
    response = problem_response("method_not_allowed", HTTPStatus.METHOD_NOT_ALLOWED, detail)
    response.headers["Allow"] = ", ".join(allowed)
    return response


def answer_with_problems() -> None:
    """Let gunicorn, too, refuse what it cannot read with a problem; by itself it writes a page of HTML."""
    util.write_error = _write_problem


def _write_problem(sock: Any, status: int, reason: str, message: str) -> None:
    code = CODES_OF_GUNICORN.get(status, "malformed_request")
    body = json.dumps(
        {**problem(code, status, message or "The request could not be handled."), "title": reason}
    ).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(sock, head.encode("latin-1") + body)


def _for_people(request: HttpRequest) -> bool:
    return request.path_info.startswith(reverse("admin:index"))
