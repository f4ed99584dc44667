"""What happens to every request before and after its view: an id, one line in the log, counters."""

import re
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils.functional import LazyObject, empty
from django_prometheus.middleware import PrometheusAfterMiddleware
from django_structlog.middlewares import RequestMiddleware

from config import views
from config.kernel.api.problems import problem_response

REQUEST_ID: Final = "X-Request-ID"
GOOD_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{8,128}")
NUL_IN_QUERY: Final = re.compile(r"%00|\x00")
MAX_PATH_BYTES: Final = 4_096
PROBES: Final = {"/healthz": views.healthz, "/readyz": views.readyz, "/metrics": views.metrics}

Answer = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    """
    Gives a request the id that its sender chose (X-Request-ID, if it looks like one) or a new one, and returns it.

    The outermost middleware, so that every answer has it.
    """

    def __init__(self, get_response: Answer) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if GOOD_REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
        request.META["HTTP_X_REQUEST_ID"] = request_id  # where django-structlog reads it
        response = self._get_response(request)
        response.headers[REQUEST_ID] = request_id
        if not response.streaming and "Content-Length" not in response.headers:
            # CommonMiddleware has not seen it.
            response.headers["Content-Length"] = str(len(response.content))
        return response


class RequestLogMiddleware(RequestMiddleware):
    """
    One line for each request, with its id, the user's id, and what a view has bound (`import_id`, `upload_id`).

    Of a query string only the names: values may be e-mail addresses.
    """

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        names = "&".join(sorted(request.GET)) if request.META.get("QUERY_STRING") else ""
        return f"{request.method} {request.path}" + (f"?{names}" if names else "")

    def prepare(self, request: HttpRequest) -> None:
        request.started_at = time.perf_counter()  # type: ignore[attr-defined]
        super().prepare(request)

    def handle_response(self, request: HttpRequest, response: HttpResponse) -> None:
        # Machines ask every few seconds: worth a line only when something is wrong.
        if request.path in PROBES and response.status_code < 400:
            structlog.contextvars.clear_contextvars()
            return
        super().handle_response(request, response)

    @staticmethod
    def bind_user_id(request: HttpRequest) -> None:
        """Only of a user who was looked up anyway: a line in the log is not worth a query."""
        user = getattr(request, "user", None)
        if user is None or (isinstance(user, LazyObject) and user._wrapped is empty):
            return
        if user.pk:
            structlog.contextvars.bind_contextvars(user_id=user.pk)


class RefusalMiddleware:
    """Refuses what no view can use, before Postgres would: NUL characters and endless paths."""

    def __init__(self, get_response: Answer) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "\x00" in request.path_info or NUL_IN_QUERY.search(request.META.get("QUERY_STRING", "")):
            return problem_response("malformed_request", 400, "An address contains no NUL characters.")
        if len(request.path_info) > MAX_PATH_BYTES:
            return problem_response("uri_too_long", 414, f"An address has at most {MAX_PATH_BYTES} characters.")
        return self._get_response(request)


class ProbeMiddleware:
    """
    Answers machines that watch us: /healthz, /readyz, /metrics.

    Before anything looks at the host name, because kubelet and Prometheus ask for the pod's address.
    """

    def __init__(self, get_response: Answer) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return PROBES.get(request.path_info, self._get_response)(request)


class RequestMetricsMiddleware(PrometheusAfterMiddleware):  # type: ignore[misc]
    """Counts by view and method. A method that nobody knows is one label, else anyone could make us keep millions."""

    def label_metric(self, metric: Any, request: HttpRequest, response: Any = None, **labels: Any) -> Any:
        if "method" in labels:
            labels["method"] = self._method(request)
        return super().label_metric(metric, request, response, **labels)


def describe_finished(request: HttpRequest, response: HttpResponse, log_kwargs: dict[str, Any], **_: Any) -> None:
    """Receiver of django-structlog's signal: what else the line of a request says."""
    log_kwargs["duration_ms"] = round((time.perf_counter() - request.started_at) * 1000, 1)  # type: ignore[attr-defined]
    match = request.resolver_match
    if match is not None:
        log_kwargs["view"] = match.view_name or match._func_path
    if not response.streaming:
        log_kwargs["bytes"] = len(response.content)


def describe_failed(request: HttpRequest, log_kwargs: dict[str, Any], **_: Any) -> None:
    """The same for a request whose view raised."""
    log_kwargs["duration_ms"] = round((time.perf_counter() - request.started_at) * 1000, 1)  # type: ignore[attr-defined]
