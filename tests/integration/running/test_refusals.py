"""Every answer that refuses is problem+json, wherever it comes from; people in the admin get pages."""

import http.client
import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path

from config import refusals
from config.urls import urlpatterns as ours
from tests.serving import Site


def fail(_request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError("john@example.com cannot be divided")


urlpatterns = [path("fails", fail), path("admin/fails", fail), *ours]
handler400, handler403, handler404, handler500 = (
    f"config.refusals.{name}" for name in ("bad_request", "permission_denied", "not_found", "server_error")
)


def check_problem(response: Any, status: int, code: str) -> None:
    assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
    body = json.loads(response.content)
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:sluice:problem:{code}")
    assert body["title"]
    assert body["detail"]
    assert response.headers["X-Request-ID"]


@pytest.mark.parametrize("address", ["/nothing", "/nothing/here?x=1", "/orders/a/b/c/d", "/%FF%FE", "/ä"])
def test_unknown_addresses(address: str) -> None:
    check_problem(Client().get(address), 404, "not_found")


@pytest.mark.parametrize("address", ["/orders/%00", "/orders?cursor=%00", "/a%00b"])
def test_nul_characters(address: str) -> None:
    check_problem(Client().get(address), 400, "malformed_request")


def test_long_addresses() -> None:
    check_problem(Client().get("/" + "a" * 5_000), 414, "uri_too_long")


def test_hosts_that_are_not_served() -> None:
    check_problem(Client().get("/docs", headers={"Host": "evil.example"}), 400, "malformed_request")


def test_docs_and_schema_refuse_in_json() -> None:
    check_problem(Client().post("/docs"), 405, "method_not_allowed")
    check_problem(Client().get("/schema", headers={"Accept": "image/png"}), 406, "not_acceptable")


@pytest.mark.urls(__name__)
def test_a_defect_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    response = Client(raise_request_exception=False).get("/fails")
    check_problem(response, 500, "server_error")
    assert b"john" not in response.content


@pytest.mark.urls(__name__)
def test_a_defect_in_the_admin_is_a_page() -> None:
    response = Client(raise_request_exception=False).get("/admin/fails")
    assert (response.status_code, response.headers["Content-Type"].split(";")[0]) == (500, "text/html")


@pytest.mark.django_db
def test_people_in_the_admin_get_pages() -> None:
    client = Client(enforce_csrf_checks=True)
    answer = client.post("/admin/login/", {"username": "a", "password": "b"})
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (403, "text/html")
    assert client.get("/admin/", headers={"Host": "evil.example"}).headers["Content-Type"].startswith("text/html")


def test_a_missing_csrf_token_of_a_program() -> None:
    response = refusals.csrf_failure(RequestFactory().post("/orders"), "no cookie")
    assert json.loads(response.content)["code"] == "csrf_failed"


def talk(site: Site, request: bytes) -> http.client.HTTPResponse:
    """Send bytes that no library would."""
    where = urlsplit(site.url)
    with socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=10) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        response.body = response.read()  # type: ignore[attr-defined]
        return response


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414, "uri_too_long"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400, "malformed_request"),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 400, "malformed_request"),
        (b"GET /orders/a\x00b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "malformed_request"),
    ],
    ids=["long address", "long header", "bad header", "unknown version", "raw NUL"],
)
def test_what_gunicorn_cannot_read(serve: Callable[..., Site], request_bytes: bytes, status: int, code: str) -> None:
    response = talk(serve(), request_bytes)
    assert (response.status, response.headers["Content-Type"]) == (status, "application/problem+json")
    assert json.loads(response.body)["code"] == code  # type: ignore[attr-defined]
