"""Answers for machines that watch us. Not for the outside: an ingress routes only what people and programs use."""

import structlog
from django.http import HttpRequest, HttpResponse, JsonResponse

from config.deadline import NoAnswerError
from config.kernel.api.problems import problem_response
from config.metrics import exposition
from config.readiness import readiness
from config.refusals import method_not_allowed

log = structlog.get_logger(__name__)

NOT_STORED = {"Cache-Control": "no-store"}


def healthz(request: HttpRequest) -> HttpResponse:
    """Whether this process lives. It asks no other service: a restart of this one would not mend them."""
    if request.method not in ("GET", "HEAD"):
        return method_not_allowed("GET", "HEAD")
    return HttpResponse("ok\n", content_type="text/plain", headers=NOT_STORED)


def readyz(request: HttpRequest) -> HttpResponse:
    """Whether this process can serve: answers within two seconds, also when Postgres does not answer at all."""
    if request.method not in ("GET", "HEAD"):
        return method_not_allowed("GET", "HEAD")
    try:
        found = readiness.answer()
    except NoAnswerError:
        return _not_ready("The database does not answer in time.")
    except Exception as error:  # whatever it is: not ready, and the log says why
        log.warning("not_ready", error=f"{type(error).__name__}: {error}".strip())
        return _not_ready("The database cannot be reached.")
    if found.missing:
        log.warning("not_ready", missing_migrations=found.missing)
        return _not_ready(f"The database lacks migrations: {', '.join(found.missing)}. Run: manage.py migrate")
    return JsonResponse({"status": "ready", "database": "ok", "cache": found.cache}, headers=NOT_STORED)


def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus."""
    if request.method not in ("GET", "HEAD"):
        return method_not_allowed("GET", "HEAD")
    body, content_type = exposition(request.headers.get("Accept", ""))
    return HttpResponse(body, content_type=content_type, headers=NOT_STORED)


def _not_ready(detail: str) -> HttpResponse:
    response = problem_response("not_ready", 503, detail)
    response.headers["Cache-Control"] = "no-store"
    return response
