"""A whole file as one body, as curl sends it: streamed, hashed, refused before it is read, kept when it is cut."""

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.uploading import TYPE, Client, curl, receive_answer

MIB = 1 << 20
ENVIRONMENT = {"UPLOAD_MAX_BYTES": str(64 * MIB), "UPLOAD_SEGMENT_BYTES": str(4 * MIB)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """9 MiB that never existed before."""
    path = tmp_path / "orders.csv"
    path.write_bytes(os.urandom(9 * MIB))
    return path


def put(client: Client, *arguments: str, path: str = "/imports") -> tuple[int, dict[str, Any]]:
    """curl's PUT or POST: status and body."""
    options = ["-H", f"Authorization: Bearer {client.token}", "-w", "\n%{http_code}"]
    done = curl(*options, *arguments, client.url + path)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def uploads(client: Client, state: str) -> list[dict[str, Any]]:
    """The person's uploads in a state, the newest first."""
    found: list[dict[str, Any]] = json.loads(client.send("GET", f"/uploads?state={state}").body)["results"]
    return found


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["-T", "{}"], id="put"),
        pytest.param(["-T", "{}", "-H", "Transfer-Encoding: chunked"], id="put-chunked"),
        pytest.param(["-T", "{}", "-H", "Expect: 100-continue"], id="put-continue"),
        pytest.param(["-T", "{}", "-H", "Expect:"], id="put-at-once"),
        pytest.param(["--data-binary", "@{}"], id="post"),
        pytest.param(["--data-binary", "@{}", "-H", "Content-Type: text/csv"], id="post-csv"),
    ],
)
def test_arrives(client: Client, file: Path, arguments: list[str]) -> None:
    status, made = put(client, *(argument.format(file) for argument in arguments), path="/imports?start=false")
    assert status == 202
    assert made["upload"]["sha256"] == sha256(file)
    assert (made["upload"]["received_bytes"], made["upload"]["length_bytes"]) == (9 * MIB, 9 * MIB)


def test_the_same_bytes_again(client: Client, file: Path) -> None:
    first = put(client, "-T", str(file))
    again = put(client, "-T", str(file), "-H", "Transfer-Encoding: chunked")
    assert (first[0], again[0]) == (202, 200)
    assert again[1]["id"] == first[1]["id"]
    assert len([found for found in uploads(client, "complete") if found["sha256"] == sha256(file)]) == 1


def test_a_pipe(client: Client) -> None:
    command = f"head -c 3000000 /dev/zero | curl -sS -T - -H 'Authorization: Bearer {client.token}' "
    done = subprocess.run(
        [*("sh", "-c"), f"{command} '{client.url}/imports?start=false'"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["upload"]["received_bytes"] == 3_000_000


def test_a_form_is_refused(client: Client, file: Path) -> None:
    status, problem = put(client, "-F", f"file=@{file}")
    assert (status, problem["code"]) == (415, "unsupported_media_type")


def test_too_large_is_refused_before_it_is_sent(client: Client) -> None:
    with client.begin("PUT", "/imports", length=65 * MIB, Expect="100-continue") as opened:
        answer = receive_answer(opened, "PUT")
    assert (answer.status, json.loads(answer.body)["code"], answer.closes) == (413, "upload_too_large", True)


def test_too_large_in_chunks_leaves_nothing(served: Any, tmp_path: Path) -> None:
    bob = served.client("bob")
    (tmp_path / "large").write_bytes(b"x" * 65 * MIB)
    status, problem = put(bob, "-T", str(tmp_path / "large"), "-H", "Transfer-Encoding: chunked")
    assert (status, problem["code"]) == (413, "upload_too_large")
    assert uploads(bob, "receiving") == []
    assert uploads(bob, "complete") == []


def test_who_may_not_is_refused_before_it_is_sent(served: Any) -> None:
    for name, expected in (("charlie", 403), ("nobody", 401)):
        token = served.tokens.get(name, "wrong")
        with Client(served.site.url, token).begin("PUT", "/imports", length=MIB, Expect="100-continue") as opened:
            assert receive_answer(opened, "PUT").status == expected


def test_unknown_profile_is_refused_before_it_is_sent(client: Client) -> None:
    with client.begin("PUT", "/imports?profile=nonsense", length=MIB, Expect="100-continue") as opened:
        assert receive_answer(opened, "PUT").status == 404


@pytest.mark.parametrize("chunked", [False, True])
def test_cut_off_imports_nothing_and_can_be_gone_on_with(client: Client, file: Path, chunked: bool) -> None:
    """curl is killed midway; tus goes on behind what arrived, and then the whole file is imported."""
    data = file.read_bytes()
    before = len(json.loads(client.send("GET", "/imports").body)["results"])
    arguments = ["-H", "Transfer-Encoding: chunked"] if chunked else []
    process = subprocess.Popen(
        ["curl", "-sS", "--limit-rate", "4M", "-T", str(file), "-H", f"Authorization: Bearer {client.token}",
         *arguments, f"{client.url}/imports?on_conflict=update"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(1.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.5)
    cut = uploads(client, "receiving")[0]
    assert (cut["kind"], cut["length"]) == ("whole", None if chunked else len(data))
    assert 0 < cut["offset"] < len(data)
    assert len(json.loads(client.send("GET", "/imports").body)["results"]) == before

    offset = client.head(cut["url"]).offset
    assert offset == cut["offset"]
    last = {"Upload_Length": len(data)} if chunked else {}
    assert client.patch(cut["url"], data[offset:], offset, **last).status == 204
    (made,) = json.loads(client.send("GET", cut["url"]).body)["imports"]
    found = json.loads(client.send("GET", made["url"]).body)
    assert found["upload"]["received_bytes"] == len(data)
    assert found["options"]["rules"]["on_conflict"] == "update"


def test_half_a_chunked_body_is_no_file(served: Any) -> None:
    """Every byte has arrived, but not the chunk that says so."""
    bob = served.client("bob")
    with bob.begin("PUT", "/imports", Transfer_Encoding="chunked") as opened:
        opened.sendall(b"3\r\nabc\r\n")
        time.sleep(0.3)
    time.sleep(0.5)
    assert uploads(bob, "complete") == []
    assert uploads(bob, "receiving")[0]["offset"] == 3


def test_an_empty_file(client: Client, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    status, made = put(client, "-T", str(tmp_path / "empty"), path="/imports?start=false")
    assert (status, made["upload"]["received_bytes"]) == (202, 0)
    assert made["upload"]["sha256"] == hashlib.sha256().hexdigest()


def test_sigterm_keeps_what_arrived(served: Any, client: Client) -> None:
    """The worker is told to stop while a client trickles: it saves, says so, and ends long before its grace."""
    path = client.create(100)
    with client.begin("PATCH", path, length=100, Content_Type=TYPE, Upload_Offset=0) as opened:
        opened.sendall(b"abc")
        time.sleep(0.5)
        os.kill(served.site.worker_pids()[0], signal.SIGTERM)
        started = time.monotonic()
        answer = receive_answer(opened)
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "upload_interrupted")
    assert time.monotonic() - started < 12
    assert client.head(path).offset == 3
