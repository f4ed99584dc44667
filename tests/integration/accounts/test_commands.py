"""create_token and create_demo_admin, as they are run."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

from tests.serving import Site

Run = Callable[..., "CompletedProcess[str]"]


def get(site: Site, path: str, token: str) -> tuple[int, Any]:
    request = urllib.request.Request(f"{site.url}{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_demo_admin_signs_in_with_what_was_printed(run: Run, serve: Callable[..., Site]) -> None:
    first, again = run("create_demo_admin"), run("create_demo_admin")
    assert first.returncode == again.returncode == 0, first.stderr + again.stderr
    assert first.stdout == again.stdout == "demo@example.com, password sluice-demo\n"
    token = run("create_token", "DEMO@example.com", "--days", "1")
    assert token.returncode == 0, token.stderr
    assert re.fullmatch(r"[0-9a-f]{64}\n", token.stdout)
    status, who = get(serve(), "/session", token.stdout.strip())
    assert (status, who["user"]["id"], who["user"]["is_superuser"]) == (200, "demo-admin", True)


def test_password_of_the_demo_admin_is_not_for_everybody(run: Run) -> None:
    settings = {"SLUICE_LOCAL": "0", "ALLOWED_HOSTS": "localhost", "DEMO_ADMIN_PASSWORD": ""}
    refused = run("create_demo_admin", env=settings)
    assert refused.returncode == 1
    assert "DEMO_ADMIN_PASSWORD" in refused.stderr
    made = run("create_demo_admin", env={**settings, "DEMO_ADMIN_PASSWORD": "correct horse battery"})
    assert made.stdout == "demo@example.com, password correct horse battery\n"
    assert run("create_demo_admin").stdout == "demo@example.com, password as you have set it\n"


def test_token_that_cannot_be(run: Run) -> None:
    run("create_demo_admin")
    for arguments in (("nobody",), ("demo-admin", "--days", "0"), ("demo-admin", "--days", "9999")):
        refused = run("create_token", *arguments)
        assert (refused.returncode, refused.stdout) == (1, ""), arguments
        assert refused.stderr.startswith("CommandError:")
