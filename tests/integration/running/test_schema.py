"""/schema and /docs: complete, public, and the same as the code."""

import io
import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from tests.serving import Site

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def schema() -> Any:
    """As programs get it."""
    return json.loads(Client().get("/schema?format=json").content)


def operations(schema: Any) -> list[tuple[str, str, Any]]:
    return [
        (path, method, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    ]


def test_the_schema_is_valid_and_drf_spectacular_has_no_doubt() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())


def test_json_and_yaml_say_the_same(schema: Any) -> None:
    for ask in ({"query_params": {"format": "yaml"}}, {"headers": {"Accept": "application/yaml"}}):
        response = Client().get("/schema", **ask)  # type: ignore[arg-type]
        assert response.headers["Content-Type"] == "application/yaml"
        assert yaml.safe_load(response.content) == schema
    assert Client().get("/schema", headers={"Accept": "text/html,*/*"}).headers["Content-Type"] == "application/json"


def test_the_schema_may_be_kept() -> None:
    response = Client().get("/schema")
    assert "max-age" in response.headers["Cache-Control"]
    again = Client().get("/schema", headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_wrong_token_keeps_nobody_from_reading() -> None:
    for address in ("/schema", "/docs"):
        assert Client().get(address, headers={"Authorization": "Bearer wrong"}).status_code == 200


def test_its_servers_are_relative(schema: Any) -> None:
    assert [server["url"] for server in schema["servers"]] == ["/"]


def test_every_operation_has_a_name_a_summary_and_a_known_tag(schema: Any) -> None:
    known = {tag["name"] for tag in schema["tags"]}
    names = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(names) == len(set(names)) > 50
    for path, method, operation in operations(schema):
        assert operation.get("summary"), (path, method)
        assert len(operation["tags"]) == 1, (path, method)
        assert set(operation["tags"]) <= known, (path, method)


def test_every_refusal_is_a_problem_with_an_example(schema: Any) -> None:
    for path, method, operation in operations(schema):
        refusals = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert refusals, (path, method)
        for status, answer in refusals.items():
            content = answer["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, (path, method, status)
            assert content["examples"], (path, method, status)


def test_every_body_has_an_example(schema: Any) -> None:
    missing = [
        (path, method)
        for path, method, operation in operations(schema)
        for media, content in operation.get("requestBody", {}).get("content", {}).items()
        if media == "application/json" and not content.get("examples")
    ]
    assert missing == []


@pytest.mark.parametrize("address", ["/orders", "/profiles", "/users", "/items"])
@pytest.mark.django_db
def test_what_cannot_be_made_of_nothing_says_so(schema: Any, address: str) -> None:
    assert schema["paths"][address]["post"]["requestBody"]["required"]
    client = APIClient()
    client.force_authenticate(User.objects.create_superuser("root", email="root@example.com", name="Root"))
    assert client.post(address).status_code in {400, 415, 422}


def test_programs_and_people_sign_in_as_told(schema: Any) -> None:
    schemes = schema["components"]["securitySchemes"]
    assert (schemes["token"]["type"], schemes["token"]["scheme"]) == ("http", "bearer")
    assert (schemes["session"]["in"], schemes["session"]["name"]) == ("cookie", "sessionid")
    public = [(path, method) for path, method, operation in operations(schema) if not operation.get("security")]
    assert public == [("/session", "post")]


def test_enumerations_have_names_that_stay(schema: Any) -> None:
    assert {"ImportState", "ChunkState", "OrderStatus"} <= schema["components"]["schemas"].keys()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
def test_the_page_works_in_a_browser_without_the_internet(serve: Callable[..., Site]) -> None:
    from playwright.sync_api import sync_playwright

    site = serve()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{site.url}/docs")
        page.click("#operations-orders-orders_place .opblock-summary")
        page.wait_for_selector("#operations-orders-orders_place .responses-table")
        text = page.inner_text("#operations-orders-orders_place")
        browser.close()
    assert said == []
    assert [url for url in asked if not url.startswith((site.url, "data:", "blob:"))] == []
    assert "Place an order" in text
    assert "problem+json" in text
