"""`make up`: from nothing to a file that is loaded, what happens when things die, and the end."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

import tools.up
from tests.conftest import CHECKOUT
from tests.serving import free_port
from tools.reading_back import read_orders

START_SECONDS = 120
RECORDS = 8_000
"""Of the sample, which has more."""


class Up:
    """One `tools/up.py` and what it prints."""

    def __init__(self, environment: dict[str, str], output: Path) -> None:
        self._environment, self._output = environment, output
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(CHECKOUT / "tools/up.py")],
                env=self._environment, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def said(self) -> str:
        return self._output.read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Until it says something; fails when it ends before."""
        assert self.process is not None
        until = time.monotonic() + START_SECONDS
        while not (found := re.search(pattern, self.said())):
            assert time.monotonic() < until, self.said()
            assert self.process.poll() is None, self.said()
            time.sleep(0.1)
        return found

    def again(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """A second one."""
        return subprocess.run(
            [sys.executable, str(CHECKOUT / "tools/up.py")],
            env={**self._environment, **environment}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture
def up(private_services: dict[str, str], tmp_path: Path) -> Iterator[Up]:
    environment = {**os.environ, **private_services, "PORT": str(free_port())}
    up = Up(environment, tmp_path / "up.log")
    yield up
    if up.process is not None and up.process.poll() is None:
        for child in psutil.Process(up.process.pid).children(recursive=True):
            child.kill()
        up.process.kill()
        up.process.wait()


def eventually(check: Callable[[], Any], *, seconds: float = 60) -> Any:
    until = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < until
        time.sleep(0.2)
    return found


def test_from_nothing_to_a_loaded_file_and_to_the_end(up: Up) -> None:
    up.start()
    assert up.process is not None
    url = up.wait_for(r"(http://127\.0\.0\.1:\d+)/admin/")[1]
    token = up.wait_for(r"export TOKEN=(\w+)")[1]
    sample = up.wait_for(r"curl -T (\S+)")[1]
    assert "demo@example.com" in up.said()

    signed_in = {"Authorization": f"Bearer {token}"}
    with open(CHECKOUT / sample, "rb") as file:
        beginning = b"".join(islice(file, RECORDS + 1))
    answer = requests.put(f"{url}/imports?profile=sluice", data=beginning, headers=signed_in, timeout=60)
    assert answer.status_code == 202, answer.text
    where = url + answer.headers["Location"].removeprefix(url)

    def ended() -> Any:
        found = requests.get(where, headers=signed_in, timeout=10).json()
        return found if found["state"] not in ("queued", "running") else None

    found = eventually(ended, seconds=120)
    assert found["state"] == "completed_with_rejects", found
    text = requests.get(f"{url}/metrics", timeout=10).text
    loaded = re.search(r'^sluice_import_records_total\{outcome="loaded"\} ([\d.]+)$', text, re.MULTILINE)
    assert loaded is not None
    assert float(loaded[1]) == found["outcomes"]["loaded"]
    assert 'sluice_tasks_total{actor="steps_do"' in text

    # What was loaded reaches Kafka, and from there the reports.
    published = eventually(lambda: _published(where, signed_in), seconds=120)
    brokers = up.wait_for(r"kcat -b (\S+)")[1]
    back = read_orders([brokers], "sluice.orders.v1")
    # Orders that span chunks have a second version.
    assert len(back.ids) >= len(back.orders) == published["events"] > 0
    assert back.disorder == []
    orders = sum(sums[0] for sums in back.sums().values())
    eventually(lambda: _reported(url, signed_in) == orders, seconds=120)

    second = up.again()
    assert second.returncode != 0
    assert f"It runs already: pid {up.process.pid}, {url}" in second.stderr

    (site,) = [child for child in psutil.Process(up.process.pid).children() if "gunicorn" in " ".join(child.cmdline())]
    site.kill()
    up.wait_for(r"web was killed \(SIGKILL\); it starts again in 1 s\.")
    eventually(lambda: _answers(f"{url}/readyz"))

    family = psutil.Process(up.process.pid).children(recursive=True)
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(60) == 0
    assert [child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    assert "killing it" not in up.said()

    # Started again on what is there, and killed: nothing is left of it.
    up.start()
    up.wait_for("Sluice runs")
    family = psutil.Process(up.process.pid).children(recursive=True)
    assert len(family) > 6
    up.process.kill()
    up.process.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []


def _published(where: str, signed_in: dict[str, str]) -> Any:
    """How the events of an import were published, when all are."""
    publishing = requests.get(where, headers=signed_in, timeout=10).json()["publishing"]
    return publishing if publishing["complete"] else None


def _reported(url: str, signed_in: dict[str, str]) -> int:
    """Orders in the reports, cancelled ones too."""
    page, found = f"{url}/reports/days?limit=1000", 0
    while page:
        answer = requests.get(page, headers=signed_in, timeout=10).json()
        found += sum(day["orders"] + day["cancelled"] for day in answer["results"])
        page = answer["next"]
    return found


@pytest.mark.parametrize(("published", "said"), [("0\n", False), ("17\n", True)])
def test_people_are_told_that_a_new_broker_knows_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], published: str, said: bool
) -> None:
    answers = {"kafka_topics": "sluice.orders.v1 was made with 6 partitions.", "shell": published}
    monkeypatch.setattr(tools.up, "manage", lambda _environment, name, *_: answers[name])
    tools.up.make_topics({}, forgetful=True)
    assert ("another one than the last time" in capsys.readouterr().out) is said


def test_a_broker_that_has_the_topics_is_no_news(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tools.up, "manage", lambda *_: "sluice.orders.v1: 6 partitions")
    tools.up.make_topics({}, forgetful=True)
    assert capsys.readouterr().out == ""


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def test_a_port_that_is_taken(up: Up) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        done = up.again(PORT=str(taken))
    assert done.returncode != 0
    assert f"Port {taken} of 127.0.0.1 is taken by another program" in done.stderr


@pytest.mark.parametrize("port", ["http", "0", "70000"])
def test_a_port_that_is_none(up: Up, port: str) -> None:
    done = up.again(PORT=port)
    assert done.returncode != 0
    assert "is not the number of a port" in done.stderr
