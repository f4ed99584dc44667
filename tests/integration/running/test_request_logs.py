"""One line for each request: with ids, without anything that is about a person or opens a door."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.utils.functional import SimpleLazyObject

from accounts.models import User
from config.middleware import RequestIdMiddleware, RequestLogMiddleware
from tests.serving import Site

JSON = {"LOG_JSON": "1", "LOG_LEVEL": "INFO"}


def ask(site: Site, path: str, **headers: str) -> Any:
    request = urllib.request.Request(site.url + path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        return urllib.request.urlopen(request, timeout=10)
    except urllib.error.HTTPError as error:
        return error


def lines(site: Site) -> list[dict[str, Any]]:
    return [json.loads(line) for line in site.log.read_text().splitlines() if line.startswith("{")]


def test_a_request_is_one_line(serve: Callable[..., Site]) -> None:
    site = serve(env=JSON)
    ask(site, "/docs").close()
    (line,) = [line for line in lines(site) if "request" in line]
    assert (line["event"], line["request"], line["code"], line["view"]) == (
        "request_finished",
        "GET /docs",
        200,
        "docs",
    )
    assert line["level"] == "info"
    assert line["duration_ms"] >= 0
    assert line["bytes"] > 0
    assert {"ip", "user_agent"}.isdisjoint(line)


def test_everything_gunicorn_says_is_json_and_said_once(serve: Callable[..., Site]) -> None:
    site = serve(env=JSON)
    assert all(line.startswith("{") for line in site.log.read_text().splitlines())
    assert len([line for line in lines(site) if line["event"].startswith("Listening")]) == 1


def test_probes_are_not_worth_a_line(serve: Callable[..., Site]) -> None:
    site = serve(env=JSON)
    for path in ("/healthz", "/readyz", "/metrics"):
        ask(site, path).close()
    assert not [line for line in lines(site) if "request" in line]


def test_no_values_of_queries_no_tokens(serve: Callable[..., Site]) -> None:
    site = serve(env=JSON)
    ask(site, "/users?email=john@gmail.com&name=John", Authorization="Bearer secret-of-john", Cookie="sessionid=s3cr3t")
    text = site.log.read_text()
    assert "?email&name" in text
    for never in ("john", "John", "secret-of-john", "s3cr3t"):
        assert never not in text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("7f3c-42.trace_id", True),
        ("short", False),
        ("x" * 129, False),
        ("has blanks in it", False),
        ("<script>alert(1)</script>", False),
    ],
)
def test_a_request_id_is_the_senders_if_it_looks_like_one(given: str, kept: bool) -> None:
    answered = Client().get("/nothing", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert (answered == given) is kept
    assert len(answered) >= 8


def test_every_request_has_an_id_of_its_own() -> None:
    answered = {Client().get("/nothing").headers["X-Request-ID"] for _ in range(3)}
    assert len(answered) == 3


def handle(request: HttpRequest, view: Callable[[HttpRequest], HttpResponse]) -> list[Any]:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logged:
        RequestIdMiddleware(RequestLogMiddleware(view))(request)  # type: ignore[arg-type]
    return [line for line in logged if line["event"] == "request_finished"]


def test_what_a_view_binds_is_in_the_line_and_not_in_the_next() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        structlog.contextvars.bind_contextvars(import_id=7)
        request.user = User(id="alice")
        return HttpResponse()

    request = RequestFactory().get("/imports/7")
    request.resolver_match = None
    (line,) = handle(request, view)
    assert (line["import_id"], line["user_id"]) == (7, "alice")
    request = RequestFactory().get("/imports")
    request.resolver_match = None
    (line,) = handle(request, lambda _: HttpResponse())
    assert {"import_id", "user_id"}.isdisjoint(line)


def test_the_log_looks_up_no_user_by_itself() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        def never() -> User:
            raise AssertionError("a query for a line of the log")

        request.user = SimpleLazyObject(never)  # type: ignore[assignment]
        return HttpResponse()

    request = RequestFactory().get("/schema")
    request.resolver_match = None
    (line,) = handle(request, view)
    assert "user_id" not in line
