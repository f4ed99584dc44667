"""docs/api.md lists every code of a problem with its status, and shows how a certificate is checked."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from django.core import signing
from django.urls import get_resolver

from config.kernel.api.problems import CODES
from config.kernel.errors import ApplicationError
from ingestion.stages.certify import SALT

CHECKOUT = Path(__file__).resolve().parents[3]
API = (CHECKOUT / "docs/api.md").read_text(encoding="utf-8")
APPS = ("config", "accounts", "orders", "ingestion", "reports")
SOURCES = [path for app in APPS for path in (CHECKOUT / app).rglob("*.py")]
WRITTEN = re.compile(r'problem(?:_response)?\(\s*"(\w+)"')
OF_COMMANDS = {"orders.outbox.halting", "orders.outbox.halted_lanes"}
"""Commands and the admin meet what these refuse, no request of the API; the admin has imported them."""
STATUS_OF = {
    "not_authenticated": 401,
    "authentication_failed": 401,
    "permission_denied": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "parse_error": 400,
    "unsupported_media_type": 415,
    "throttled": 429,
}


def refusals(kind: type[ApplicationError] = ApplicationError) -> Iterator[type[ApplicationError]]:
    for each in kind.__subclasses__():
        yield each
        yield from refusals(each)


def of_code() -> dict[str, set[int]]:
    """Code → statuses, of everything that a request can meet."""
    assert get_resolver().url_patterns
    for path in SOURCES:
        if path.name == "errors.py":
            importlib.import_module(".".join(path.relative_to(CHECKOUT).with_suffix("").parts))
    found: dict[str, set[int]] = {CODES[name]: {status} for name, status in STATUS_OF.items()}
    for each in refusals():
        ours = each.__module__.split(".")[0] in APPS and each.__module__ not in OF_COMMANDS
        if ours and "code" in vars(each):
            found.setdefault(each.code, set()).add(each.status)
    return found


def told() -> dict[str, set[int]]:
    section = API.split("## Errors")[1]
    rows = re.findall(r"^\| `(\w+)` \| ([\d, ]+) \| .+ \|$", section, flags=re.MULTILINE)
    return {code: {int(status) for status in statuses.split(",")} for code, statuses in rows}


def test_the_table_has_every_refusal_with_its_status() -> None:
    table = told()
    assert {code: table.get(code) for code in of_code()} == of_code()


def test_the_table_has_every_code_that_stands_in_the_code() -> None:
    written = {code for path in SOURCES for code in WRITTEN.findall(path.read_text(encoding="utf-8"))}
    assert written - set(told()) == set()


def test_the_table_has_nothing_else() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    # Of `user_has_…` the code is put together.
    assert [code for code in told() if f'"{code}"' not in text and not code.startswith("user_has_")] == []


def test_a_certificate_is_checked_as_the_page_shows() -> None:
    (program,) = re.findall(r"runs this -->\n```python\n(.*?)```", API, flags=re.DOTALL)
    certificate = {"import_id": 7, "records": 3}
    genuine = {
        "certificate": certificate,
        "signature": signing.dumps(certificate, key="secret", salt=SALT, compress=True),
    }
    forged = {**genuine, "certificate": {**certificate, "records": 4}}
    for document, key, status in ((genuine, "secret", 0), (forged, "secret", 1), (genuine, "other", 1)):
        done = subprocess.run(
            [sys.executable, "-c", program, key],
            input=json.dumps(document),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert done.stdout == ("genuine\n" if status == 0 else "")
