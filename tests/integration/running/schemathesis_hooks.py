"""
What no schema can say, for schemathesis (`hooks` of schemathesis.toml).

A body of the right form can still name a user whom nobody knows, or take an address that another user has; a cursor is
signed. Such requests are refused with 400, as they have to be. So that "valid requests are accepted" can be checked all
the same, requests of the right form get names of things that exist, and headers that agree. Those of the wrong form are
left as they are.
"""

import itertools
import os
from typing import Any, Final

import schemathesis
from schemathesis.transport.requests import REQUESTS_TRANSPORT, binary_serializer

REQUESTS_TRANSPORT.serializer("application/offset+octet-stream")(binary_serializer)  # bytes, by tus' name

KNOWN: Final = {
    "user_id": "u101",
    "role": "account-manager",
    "region": "north",
    "password": "correct horse battery staple",
    "current_password": "correct horse battery staple",
}
numbers = itertools.count(1)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Names of things that exist, an address that nobody has, and the first page."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if isinstance(case.body, dict):
        for name in KNOWN.keys() & case.body.keys():
            case.body[name] = KNOWN[name]
        if isinstance(case.body.get("email"), str):
            case.body["email"] = f"u{os.getpid()}-{next(numbers)}@example.com"
        if case.operation.definition.raw.get("operationId") == "users_password":
            case.body["current_password"] = KNOWN["current_password"]
    if case.query:
        case.query.pop("cursor", None)
    if case.headers and "Tus-Resumable" in case.headers:
        _agree(case.headers, creating=case.method == "POST")


def _agree(headers: Any, *, creating: bool) -> None:
    """Headers of tus that say something about each other, or about the body."""
    for name in ("Upload-Checksum", "Upload-Concat", "Upload-Metadata"):
        headers.pop(name, None)
    if not creating:
        headers.pop("Upload-Length", None)  # only where it was deferred
    elif ("Upload-Length" in headers) == ("Upload-Defer-Length" in headers):
        headers.pop("Upload-Defer-Length", None)
        headers["Upload-Length"] = "8"
