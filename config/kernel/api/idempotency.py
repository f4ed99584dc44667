"""
Idempotency-Key: a creating request that is repeated gets the first one's answer.

After the IETF draft draft-ietf-httpapi-idempotency-key-header. The answer is stored in the transaction of what was
created; answers of 5xx are not stored. Keys live for a day.
"""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.utils.crypto import salted_hmac
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from config.kernel.errors import ApplicationError
from config.kernel.models import IdempotencyKey

KEEP_HOURS: Final = 24
MAX_LENGTH: Final = 255
PATTERN: Final = "[!-~]([ -~]*[!-~])?"  # HTTP takes spaces around it away, and promises nothing beyond ASCII
REPLAYED: Final = "Idempotent-Replayed"


class IdempotencyKeyReusedError(ApplicationError):
    code, status = "idempotency_key_reused", 422
    message = "This Idempotency-Key was used for another request. Use a new key for a new request."


class IdempotencyKeyInvalidError(ApplicationError):
    code, status = "idempotency_key_invalid", 400
    message = "An Idempotency-Key has 1 to 255 printable characters of ASCII."


class RequestInProgressError(ApplicationError):
    code, status = "request_in_progress", 409
    message = "The first request with this Idempotency-Key is still being worked on. Repeat it in a moment."


def once(request: Request, create: Callable[[], Response]) -> Response:
    """
    Run `create` in a transaction, at most once for an Idempotency-Key of this caller; without a key, always.

    Args:
        create: makes the resource and its response; its exceptions are not stored.
    Raises:
        IdempotencyKeyReusedError: same key, other request.
        RequestInProgressError: the first one runs in another process right now.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        with transaction.atomic():
            return create()
    if len(key) > MAX_LENGTH or not re.fullmatch(PATTERN, key):
        raise IdempotencyKeyInvalidError
    owner, digest = str(request.user.pk), _digest(request)
    with transaction.atomic():
        _lock(owner, key)
        known = IdempotencyKey.objects.filter(owner_id=owner, key=key).first()
        if known is not None and known.created_at > datetime.now(UTC) - timedelta(hours=KEEP_HOURS):
            return _again(known, digest)
        response = create()
        if response.status_code < 500:
            IdempotencyKey.objects.update_or_create(
                owner_id=owner, key=key, defaults=_stored(response, digest) | {"created_at": datetime.now(UTC)}
            )
    return response


def prune(*, now: datetime) -> int:
    """Forget keys older than a day; returns how many."""
    return IdempotencyKey.objects.filter(created_at__lt=now - timedelta(hours=KEEP_HOURS)).delete()[0]


def _lock(owner: str, key: str) -> None:
    number = int.from_bytes(hashlib.sha256(f"idempotency\0{owner}\0{key}".encode()).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        if not cursor.fetchone()[0]:
            raise RequestInProgressError


def _digest(request: Request) -> str:
    body = json.dumps(request.data, sort_keys=True, cls=JSONEncoder)
    # Keyed, because a body may hold a password, which a plain digest would let somebody guess.
    text = f"{request.method} {request.get_full_path()}\n{body}"
    return str(salted_hmac(__name__, text, algorithm="sha256").hexdigest())


def _stored(response: Response, digest: str) -> dict[str, Any]:
    # As the client got it: dates and decimals as texts.
    body = json.loads(json.dumps(response.data, cls=JSONEncoder)) if response.data is not None else None
    headers = {name: response.headers[name] for name in ("Location", "ETag") if name in response.headers}
    return {"request_hash": digest, "status": response.status_code, "body": body, "headers": headers}


def _again(known: IdempotencyKey, digest: str) -> Response:
    if known.request_hash != digest:
        raise IdempotencyKeyReusedError
    return Response(known.body, status=known.status, headers={**known.headers, REPLAYED: "true"})
