"""From curl to the last reject: a file over HTTP, by gunicorn and task workers, and what the command makes of it."""

from __future__ import annotations

import json
import random
import subprocess
import time
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from accounts.models import User
from accounts.services.tokens import token_create
from ingestion.clock import utc_now
from tests.conftest import Manage
from tests.flows.files import csv_text, loaded
from tests.serving import Site, Workers

SECONDS = 120
HEADER = ("order_id", "user_id", "sku", "quantity", "unit_price", "user_email")


class Answer:
    """Status, headers and body."""

    def __init__(self, response: Any) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def told(self) -> Any:
        return json.loads(self.body)


class Api:
    """Alice asks over HTTP."""

    def __init__(self, site: Site, token: str) -> None:
        self.site, self.token = site, token

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = {} if data is None else {"Content-Type": "text/csv" if isinstance(body, bytes) else "application/json"}
        request = urllib.request.Request(f"{self.site.url}{path}", data, method=method)
        for name, value in {"Authorization": f"Bearer {self.token}", **kind, **headers}.items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as response:
                return Answer(response)
        except HTTPError as error:
            with error:
                return Answer(error)

    def curl(self, path: Path, query: str = "") -> Any:
        """`curl -T`, as the guide shows it."""
        url, token = f"{self.site.url}/imports{query}", f"Authorization: Bearer {self.token}"
        command = ["curl", "-sS", "-T", str(path), "-H", token, url]
        done = subprocess.run(command, capture_output=True, check=True, timeout=SECONDS)
        return json.loads(done.stdout)

    def ended(self, import_id: int) -> Any:
        """Poll as the guide says, until the import has ended."""
        etag, until = "", time.monotonic() + SECONDS
        while time.monotonic() < until:
            answer = self("GET", f"/imports/{import_id}", **({"If-None-Match": etag} if etag else {}))
            if answer.status != 304:
                etag, told = answer.headers["ETag"], answer.told
                if told["ended_at"] is not None:
                    return told
            time.sleep(0.1)
        raise AssertionError(f"It did not end: {told}")


@pytest.fixture
def api(database: str, serve: Callable[..., Site], workers: Callable[..., Workers]) -> Api:
    """A site with two processes, and workers."""
    alice = User.objects.create_superuser("alice", email="alice@example.com", name="Alice")
    _, token = token_create(user=alice, ttl=timedelta(hours=1), now=utc_now())
    workers(large=1)
    return Api(serve(processes=2), token)


def messy(path: Path, records: int) -> Path:
    """Orders of some lines each, contested e-mails, and a few records that cannot be loaded."""
    chance = random.Random(7)
    rows = [
        (
            f"o{number // 3}", f"u{number // 3 % 500}", f"i{chance.randrange(90)}", "1" if number % 97 else "many",
            f"{number % 50}.50" if number % 131 else "free", f"mail{number // 3 % 500 % 480}@example.com",
        )
        for number in range(records)
    ]  # fmt: skip
    path.write_text(csv_text(rows, HEADER))
    return path


def test_from_curl_to_the_last_reject(api: Api, tmp_path: Path) -> None:
    path = messy(tmp_path / "orders.csv", 20_000)
    made = api.curl(path, "?filename=orders.csv")
    told = api.ended(made["id"])
    assert told["state"] == "completed_with_rejects", told["reason"]
    rejected = told["outcomes"]["rejected"]
    assert told["outcomes"]["loaded"] + rejected == 20_000
    assert 300 < rejected == told["open_rejects"]
    assert api.curl(path, "?filename=orders.csv")["id"] == made["id"]

    failed = api("GET", told["links"]["failed"]).body
    errors = api("GET", told["links"]["errors"]).body
    assert len(failed.splitlines()) == rejected + 1
    assert len(errors.splitlines()) == sum(told["errors"].values()) + 1
    # Mended: numbers instead of words, and an e-mail of their own for those who lost theirs.
    head, *lines = failed.decode().splitlines()
    fixed = [line.replace(",many,", ",1,").replace(",free,", ",9.50,").rpartition(",")[0] + "," for line in lines]
    (tmp_path / "mended.csv").write_text("\n".join([head, *fixed, ""]))
    child = api.curl(tmp_path / "mended.csv", f"?parent={made['id']}")
    ended = api.ended(child["id"])
    assert (ended["state"], ended["parent"]) == ("completed", made["id"]), ended["errors"]
    assert ended["outcomes"]["loaded"] == rejected
    told = api("GET", f"/imports/{made['id']}").told
    assert (told["open_rejects"], told["children"]) == (0, [child["id"]])


def test_the_api_and_the_command_make_the_same_of_a_file(
    api: Api, manage: Manage, connect: Callable[[], Any], tmp_path: Path
) -> None:
    path = messy(tmp_path / "orders.csv", 5_000)
    import_id = api.ended(api.curl(path)["id"])["id"]
    by_api = loaded(connect)
    files = {name: api("GET", f"/imports/{import_id}/{name}").body for name in ("failed.csv", "errors.csv")}
    certificate = api("GET", f"/imports/{import_id}/certificate").told["certificate"]
    with connect() as server, server.cursor() as cursor:
        cursor.execute(_EMPTY)
    done = manage("ingest_csv", str(path), "--json", "--rejects", str(tmp_path / "rejects"))
    assert done.returncode == 3, done.stderr
    assert loaded(connect) == by_api
    told = json.loads(done.stdout)
    assert {name: told[name] for name in certificate if name in _COUNTED} == {
        name: certificate[name] for name in certificate if name in _COUNTED
    }
    assert (tmp_path / "rejects/failed.csv").read_bytes() == files["failed.csv"]
    # The first column names the file: by its path, and by the name that the upload has.
    assert _without_names((tmp_path / "rejects/errors.csv").read_bytes()) == _without_names(files["errors.csv"])


def test_a_wrong_file_and_a_dry_run_write_nothing(api: Api, connect: Callable[[], Any], tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text("name,colour\nlamp,red\n")
    told = api.ended(api.curl(tmp_path / "wrong.csv")["id"])
    assert told["state"] == "failed"
    assert "order_id" in told["reason"]
    answer = api("GET", told["links"]["certificate"])
    assert answer.status == 200
    assert api("GET", told["links"]["unprocessed"]).body == (tmp_path / "wrong.csv").read_bytes()

    path = messy(tmp_path / "orders.csv", 3_000)
    predicted = api.ended(api.curl(path, "?dry_run=true")["id"])
    assert predicted["dry_run"] is True
    assert [len(rows) for rows in loaded(connect).values()] == [1, 0, 0, 0, 0]  # Alice
    forecast = api("GET", predicted["links"]["certificate"]).told["certificate"]
    real = api.ended(api.curl(path)["id"])
    assert real["id"] != predicted["id"]
    certificate = api("GET", real["links"]["certificate"]).told["certificate"]
    assert {name: forecast[name] for name in _COUNTED} == {name: certificate[name] for name in _COUNTED}
    assert predicted["outcomes"] == real["outcomes"]
    assert predicted["errors"] == real["errors"]


_COUNTED = (
    "records", "loaded", "unchanged", "skipped", "rejected", "ignored", "unprocessed", "errors", "users_inserted",
    "items_inserted", "orders_inserted", "orders_updated", "lines_inserted", "lines_updated", "sha256", "bytes",
)  # fmt: skip
_EMPTY = """
    ALTER TABLE orders_order DISABLE TRIGGER orders_order_truncate;
    ALTER TABLE orders_item DISABLE TRIGGER orders_item_truncate;
    TRUNCATE orders_orderline, orders_order, orders_item, outbox_entry, outbox_receipt, ingestion_import,
        ingestion_upload RESTART IDENTITY CASCADE;
    DELETE FROM accounts_user WHERE id <> 'alice';
    ALTER TABLE orders_order ENABLE ALWAYS TRIGGER orders_order_truncate;
    ALTER TABLE orders_item ENABLE ALWAYS TRIGGER orders_item_truncate;
"""


def _without_names(errors: bytes) -> list[bytes]:
    return [line.partition(b",")[2] for line in errors.splitlines()]
