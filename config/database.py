"""DATABASE_URL → Django's settings of a database."""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

# Of the query string, these are Django's or have a place of their own; all others go to libpq as they are.
OWN_PARAMETERS = {"host", "port"}


def parse_database_url(url: str) -> dict[str, Any]:
    """
    Translate `postgresql://user:password@host:port/name?sslmode=…`.

    Args:
        url: percent-encoded where needed; a directory with a unix socket is given as `?host=/run/postgresql`.
    Raises:
        ImproperlyConfigured: it is no URL of a Postgres database.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured("DATABASE_URL must begin with postgresql:// – there is no other database to choose.")
    name = unquote(parts.path.removeprefix("/"))
    if not name:
        raise ImproperlyConfigured("DATABASE_URL names no database: postgresql://user@host/NAME")
    try:
        port = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"DATABASE_URL has an impossible port: {error}.") from error
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    return {
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.get("host") or unquote(parts.hostname or ""),
        "PORT": str(query.get("port") or port or ""),
        "OPTIONS": {key: value for key, value in query.items() if key not in OWN_PARAMETERS},
    }


def statement_timeout(database: dict[str, Any], *, seconds: int) -> dict[str, Any]:
    """
    Entries for the settings of a database that make the server end statements, and waits for locks.

    PgBouncer refuses them: give 0 there, and let the role have them (`ALTER ROLE … SET statement_timeout`).

    Args:
        seconds: of one statement, and a third of it for a lock; 0: no limit, no entries.
    """
    if not seconds:
        return {}
    options = dict(database.get("OPTIONS", {}))
    limits = f"-c statement_timeout={seconds * 1000} -c lock_timeout={seconds * 1000 // 3}"
    options["options"] = f"{options.get('options', '')} {limits}".strip()
    return {"OPTIONS": options}
