"""tus-js-client in a real Chromium: whole, in parallel parts, during a crash, paused, taken back, with a session."""

import hashlib
import json
import shutil
import subprocess
import time
from array import array
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.uploading import Served, served_site

CHROMIUM = "/usr/bin/chromium"
SIZE = 12_000_000
SESSION = """
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.middleware.csrf import get_token
from django.http import HttpRequest
from accounts.models import User
user = User.objects.get(pk="alice")
store = import_module(settings.SESSION_ENGINE).SessionStore()
store[SESSION_KEY], store[BACKEND_SESSION_KEY] = user.pk, settings.AUTHENTICATION_BACKENDS[0]
store[HASH_SESSION_KEY] = user.get_session_auth_hash()
store.create()
print(store.session_key)
"""
START = """
    ([size, options]) => {
        const bytes = new Uint32Array(size / 4);
        for (let at = 0; at < bytes.length; at++) bytes[at] = Math.imul(at, 2654435761);
        window.state = {sent: 0, url: null, error: null, done: false};
        window.upload = new tus.Upload(new Blob([bytes]), {
            endpoint: "/uploads",
            chunkSize: 2 * 1024 * 1024,
            retryDelays: [200, 500, 1000, 2000, 2000, 5000, 5000, 5000, 10000, 10000, 10000],
            metadata: {filename: "größe.csv", start: "manual"},
            onProgress: (sent) => { window.state.sent = sent; },
            onSuccess: () => { window.state.url = window.upload.url; window.state.done = true; },
            onError: (error) => { window.state.error = String(error); },
            ...options,
        });
        window.upload.start();
    }
"""


@pytest.fixture(scope="session")
def tus_js(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's bundle, from npm."""
    if shutil.which("npm") is None or not Path(CHROMIUM).exists():
        pytest.skip("needs npm and Chromium")
    directory = tmp_path_factory.mktemp("npm")
    (directory / "package.json").write_text("{}")
    try:
        done = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "tus-js-client@4"],
            cwd=directory, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pytest.skip("npm's registry does not answer")
    if done.returncode:
        pytest.skip(f"npm's registry cannot be reached: {done.stderr.strip().splitlines()[-1:]}")
    return directory / "node_modules/tus-js-client/dist/tus.min.js"


class Browser:
    """A page of the site, with tus-js-client in it."""

    def __init__(self, page: Any, served: Served) -> None:
        self.page, self.served, self.site, self.client = page, served, served.site, served.client()

    def start(self, **options: Any) -> None:
        """Begin to upload SIZE bytes; by default with Alice's token."""
        options.setdefault("headers", {"Authorization": f"Bearer {self.client.token}"})
        self.page.evaluate(START, [SIZE, options])

    def state(self) -> dict[str, Any]:
        """How far it is."""
        found: dict[str, Any] = self.page.evaluate("window.state")
        return found

    def wait_until(self, reached: Callable[[dict[str, Any]], bool], *, seconds: float = 90) -> dict[str, Any]:
        """The state when `reached` holds."""
        until = time.monotonic() + seconds
        while not reached(state := self.state()):
            assert time.monotonic() < until, state
            time.sleep(0.02)
        return state

    def finished(self) -> dict[str, Any]:
        """The upload as the site shows it, after all of its bytes were compared."""
        state = self.wait_until(lambda now: now["done"] or now["error"] is not None)
        assert state["error"] is None
        path = state["url"].removeprefix(self.site.url)
        found: dict[str, Any] = json.loads(self.client.send("GET", path).body)
        assert hashlib.sha256(self.served.stored(path)).hexdigest() == expected_sha256()
        return found


@cache
def expected_sha256() -> str:
    """Of what START makes."""
    made = array("I", (at * 2654435761 & 0xFFFFFFFF for at in range(SIZE // 4)))
    return hashlib.sha256(made.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def served(django_db_setup: None, tus_js: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A site, if there is something to visit it with."""
    with served_site(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture
def browser(served: Served, tus_js: Path) -> Iterator[Browser]:
    """A page in Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page()
        page.goto(f"{served.site.url}/healthz")
        page.add_script_tag(path=str(tus_js))
        yield Browser(page, served)
        chromium.close()


def test_while_the_web_process_is_killed(browser: Browser) -> None:
    browser.start()
    browser.wait_until(lambda now: now["sent"] > SIZE // 2)
    browser.site.kill_a_worker()
    found = browser.finished()
    assert (found["state"], found["filename"], found["length"]) == ("complete", "größe.csv", SIZE)


def test_parallel_parts(browser: Browser) -> None:
    browser.start(parallelUploads=3)
    found = browser.finished()
    assert (found["state"], found["concatenation"], len(found["parts"])) == ("complete", "final", 3)


def test_in_one_request_with_its_creation(browser: Browser) -> None:
    browser.start(uploadDataDuringCreation=True, chunkSize=SIZE)
    assert browser.finished()["state"] == "complete"


def test_of_unknown_length(browser: Browser) -> None:
    browser.start(uploadLengthDeferred=True)
    assert browser.finished()["length"] == SIZE


def test_paused_and_gone_on_with(browser: Browser) -> None:
    browser.start(chunkSize=SIZE)
    browser.wait_until(lambda now: now["sent"] > 0)
    browser.page.evaluate("window.upload.abort()")
    time.sleep(0.5)
    browser.page.evaluate("window.upload.start()")
    assert browser.finished()["state"] == "complete"


def test_taken_back(browser: Browser) -> None:
    browser.start(chunkSize=1 << 20)
    browser.wait_until(lambda now: now["sent"] > 0)
    url = browser.page.evaluate("window.upload.url")
    browser.page.evaluate("window.upload.abort(true)")
    assert json.loads(browser.client.send("GET", url.removeprefix(browser.site.url)).body)["state"] == "terminated"


def test_with_a_session(browser: Browser) -> None:
    """A person who is logged in needs no token, but the CSRF one."""
    session = browser.served.manage("shell", "-c", SESSION).stdout.split()[-1]
    csrf = "a" * 32
    browser.page.context.add_cookies(
        [
            {"name": name, "value": value, "url": browser.site.url}
            for name, value in (("sessionid", session), ("csrftoken", csrf))
        ]
    )
    browser.start(headers={}, retryDelays=[])
    assert "403" in browser.wait_until(lambda now: now["error"] is not None)["error"]
    browser.start(headers={"X-CSRFToken": csrf})
    assert browser.finished()["owner"] == "alice"
