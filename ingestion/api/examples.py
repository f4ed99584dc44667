"""Examples for the schema."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

UPLOAD_ID: Final = "0b9f8a52-6a4f-4a0e-9a53-6f9f3e0c8a11"

IMPORT_SUMMARY: Final[dict[str, Any]] = {
    "id": 7,
    "state": "running",
    "reason": "",
    "profile": "webshop",
    "upload": {
        "id": UPLOAD_ID,
        "filename": "orders.csv",
        "state": "complete",
        "received_bytes": 272000000,
        "length_bytes": 272000000,
        "sha256": None,
    },
    "created_by": "u101",
    "created_at": "2026-03-02T06:00:00Z",
    "started_at": "2026-03-02T06:00:01Z",
    "ended_at": None,
    "dry_run": False,
    "while_uploading": False,
    "parent": None,
    "duplicate_of": None,
    "progress": {
        "bytes_done": 136000000,
        "bytes_total": 272000000,
        "records_done": 1000000,
        "records_total": None,
        "chunks_done": 12,
        "chunks_planned": 20,
        "bytes_per_second": 27200000,
        "records_per_second": 200000,
        "eta_seconds": 5,
    },
    "outcomes": {"loaded": 999990, "unchanged": 0, "skipped": 0, "rejected": 9, "ignored": 1, "unprocessed": 0},
    "errors": {"invalid_decimal": 7, "ambiguous_datetime": 2},
    "open_rejects": 9,
}
IMPORT: Final = OpenApiExample(
    "an import that runs",
    value={
        **IMPORT_SUMMARY,
        "options": {"name": "webshop", "rules": {"on_conflict": "update"}},
        "sources": [],
        "children": [],
        "slowed_since": None,
        "publishing": {
            "events": 500000,
            "events_published": 420000,
            "complete": False,
            "published_at": None,
            "load_seconds": None,
            "seconds_after_load": None,
        },
        "links": {"self": "/imports/7", "failed": "/imports/7/failed.csv", "errors": "/imports/7/errors.csv"},
    },
    response_only=True,
)
IMPORT_REQUEST: Final = OpenApiExample(
    "an upload by another profile",
    value={"upload": UPLOAD_ID, "profile": "webshop", "on_conflict": "update", "max_errors": 1000},
    request_only=True,
    media_type="application/json",
)
REJECT: Final = OpenApiExample(
    "a price that is not a number",
    value={
        "source": "orders.csv",
        "record": 3,
        "line": 4,
        "byte_offset": 94,
        "byte_length": 30,
        "column_number": 5,
        "column_name": "unit_price",
        "code": "invalid_decimal",
        "message": "'free' is not a number.",
        "value": "free",
        "raw": "o3,u1,lamp,1,free\n",
        "raw_complete": True,
    },
    response_only=True,
)
PROFILE: Final[dict[str, Any]] = {
    "name": "webshop",
    "description": "Nightly export of the web shop",
    "mapping": {"sku": "Artikel", "item_name": ["Bezeichnung", "Name"], "user_age": False},
    "templates": {"order_id": "{Filiale}-{Beleg}"},
    "defaults": {"currency": "EUR"},
    "formats": {"day_first": True, "time_zone": "Europe/Vienna", "decimal_separator": ","},
    "rules": {"guests": "allow", "on_conflict": "update"},
}
