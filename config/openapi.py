"""What the OpenAPI schema says of the API as a whole; endpoints describe themselves at their views."""

from typing import Any, Final

DESCRIPTION: Final = """\
Orders from CSV files of any size into PostgreSQL, every record accounted for.

**Sign in.** Programs send `Authorization: Bearer <token>` with every request; `POST /tokens` or
`manage.py create_token` makes one, and it expires. The button *Authorize* takes it for this page. People who are
signed in to the admin need nothing more.

**Load a file** in one request, `curl -T orders.csv -H "Authorization: Bearer $TOKEN" "$HOST/imports?profile=sluice"`,
or in as many as it takes with any [tus](https://tus.io) client at `/uploads`. Then follow the `Location`.

**Ids** are texts that you choose (`u101`, `o553`) or that are made for you. In addresses they are percent-encoded,
`/` as `%2F`.

**Pages** follow `next` and `previous` as they are given; nothing is counted.

**Changes** of users, orders and profiles need `If-Match` with the `ETag` you have read, so that nobody's change is
overwritten unseen. Creating takes an `Idempotency-Key`, so that a request can be repeated safely; it is optional.

**Errors** are `application/problem+json` (RFC 9457). `code` is stable, `detail` is for people, `errors` lists every
field that is not valid. Quote the `X-Request-ID` of an answer when you ask for help.
"""
TAGS: Final = [
    {"name": "uploads", "description": "Resumable uploads, tus 1.0."},
    {"name": "imports", "description": "Files on their way into the database, and what became of each record."},
    {"name": "profiles", "description": "How a shop writes its files."},
    {"name": "orders", "description": "Orders and their lines."},
    {"name": "items", "description": "What is sold."},
    {"name": "reports", "description": "What orders add up to, a moment after they are made or changed."},
    {"name": "users", "description": "Who orders, and who works here."},
    {"name": "roles", "description": "What somebody may do."},
    {"name": "tokens", "description": "Access for programs."},
]

SETTINGS: Final[dict[str, Any]] = {
    "TITLE": "Sluice",
    "DESCRIPTION": DESCRIPTION,
    "VERSION": "1",
    "LICENSE": {"name": "Apache 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
    "SERVERS": [{"url": "/", "description": "This server"}],
    "TAGS": TAGS,
    # Public, and so without authentication: a wrong token must not keep anybody from reading how to get a right one.
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": "",
    "COMPONENT_SPLIT_REQUEST": True,
    "PATH_CONVERTER_OVERRIDES": {"key": {"type": "string", "minLength": 1, "maxLength": 128}},
    # Names that clients' generators use: they stay when more endpoints have a field of the same name.
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "ImportState": "ingestion.states.ALL",
        "ChunkState": "ingestion.states.CHUNK_TRANSITIONS",
        "UploadState": "ingestion.models.Upload.State",
        "OrderStatus": "orders.states.ALL",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.api_docs.require_bodies",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "displayRequestDuration": True,
        "filter": True,
        "persistAuthorization": True,
        "tryItOutEnabled": True,
    },
}
