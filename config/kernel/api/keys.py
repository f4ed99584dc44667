"""
Text keys in URLs: any id, percent-encoded, `/` as `%2F`.

WSGI hands over a decoded path, in which `a%2Fb` and `a/b` are the same. `keep_encoded_slashes` looks at the raw path
and decodes `%2F` to U+001F instead, which no key may contain; the converter turns it back.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from config.kernel.fields import TEXT_KEY_LENGTH, TEXT_KEY_PATTERN

SLASH: Final = "\x1f"
KEY: Final = re.compile(TEXT_KEY_PATTERN)


class KeyConverter:
    """One segment of a path that holds a text key, `<key:id>`. What cannot be a key matches no pattern: 404."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        key = value.replace(SLASH, "/")
        if len(key) > TEXT_KEY_LENGTH or "\x00" in key or not KEY.match(key):
            raise ValueError(key)
        return key

    def to_url(self, value: str) -> str:
        return value.replace("/", SLASH)


def key_url(collection: str, key: str) -> str:
    """The path of a resource: ("/orders", "a/b") → "/orders/a%2Fb"."""
    return f"{collection}/{quote(key, safe='')}"


def keep_encoded_slashes(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Wrap a WSGI application so that encoded slashes stay inside their segment (RFC 3986, 2.2)."""

    def wrapped(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raw = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "")
        if "%2f" in raw.lower() and raw.startswith("/"):
            path = raw.partition("?")[0].replace("%2f", "%1F").replace("%2F", "%1F")
            environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1")
        return application(environ, start_response)

    return wrapped
