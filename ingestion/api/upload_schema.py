"""What the schema says of uploads."""

from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from config.kernel.api.schema import problem_responses
from config.kernel.api.strict import KeyField, StrictSerializer
from ingestion.models import AUTO, FINAL, MANUAL, PARTIAL, Upload

PHRASES: Final = {460: "Checksum Mismatch"}
TAGS: Final = ["uploads"]
ID: Final = "3f0f2f1e-6a0c-4d7b-9f5e-0d7f1c2b3a49"

CONCEPT: Final = """\
Resumable uploads after [tus 1.0](https://tus.io/protocols/resumable-upload): create one with `POST /uploads`, add bytes
with `PATCH`; after a broken connection ask for the offset with `HEAD`, and go on from there. Clients exist for every
language (tus-js-client, Uppy, tuspy, …).

`Upload-Metadata` holds pairs of a key and a base64 value: `filename`, `profile` (its name), `start` (`auto`: import
when the last byte has arrived, the default, or `manual`), `on_conflict`, `parent` (id of the import whose mended
rejects these are), `dry_run`, `force`, and `while_uploading` (begin before the last byte has arrived)."""


class UploadFilterSerializer(StrictSerializer):
    """Which uploads to list."""

    state = serializers.ChoiceField(choices=Upload.State.values, required=False)
    owner = KeyField(required=False, help_text="id of a user")


class UploadImportSerializer(serializers.Serializer[Any]):
    """An import of an upload."""

    id = serializers.IntegerField()
    state = serializers.CharField()
    url = serializers.CharField()


class UploadSerializer(serializers.Serializer[Any]):
    """An upload."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    owner = serializers.CharField()
    kind = serializers.ChoiceField(choices=["tus", "whole"])
    state = serializers.ChoiceField(choices=Upload.State.values)
    filename = serializers.CharField(allow_blank=True)
    profile = serializers.CharField(allow_blank=True, help_text="empty: the default one")
    start = serializers.ChoiceField(choices=[AUTO, MANUAL])
    options = serializers.DictField(help_text="of the import that is made when it is complete")
    offset = serializers.IntegerField(help_text="bytes that are stored")
    length = serializers.IntegerField(allow_null=True, help_text="bytes announced; null: not known yet")
    sha256 = serializers.CharField(allow_null=True, help_text="of all bytes, where it is known")
    concatenation = serializers.ChoiceField(choices=[PARTIAL, FINAL], allow_null=True)
    parts = serializers.ListField(child=serializers.UUIDField(), help_text="partial uploads of a final one")
    created_at = serializers.DateTimeField()
    completed_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(help_text="when its bytes are removed, unless an import still reads them")
    imports = UploadImportSerializer(many=True)


EXAMPLE: Final = OpenApiExample(
    "An unfinished upload",
    value={
        "id": ID,
        "url": f"/uploads/{ID}",
        "owner": "u101",
        "kind": "tus",
        "state": "receiving",
        "filename": "orders.csv",
        "profile": "sluice",
        "start": AUTO,
        "options": {"on_conflict": "update"},
        "offset": 67108864,
        "length": 12884901888,
        "sha256": None,
        "concatenation": None,
        "parts": [],
        "created_at": "2026-11-25T08:00:00Z",
        "completed_at": None,
        "expires_at": "2026-11-26T08:00:04Z",
        "imports": [],
    },
    response_only=True,
)


def _header(name: str, description: str, kind: Any = str, *, required: bool = False, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=description, required=required, **more)


def _answer(name: str, description: str, *statuses: int) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=description, response=list(statuses))


COUNT: Final = {"type": "integer", "format": "int64", "minimum": 0}
TUS_RESUMABLE: Final = _header("Tus-Resumable", "1.0.0", required=True, enum=["1.0.0"])
CHECKSUM: Final = _header("Upload-Checksum", "of this body: sha1, md5, sha256 or crc32, a space, and base64")
CONCAT: Final = _header("Upload-Concat", "`partial`, or `final;` and the URLs of the parts")
BYTES: Final = {"application/offset+octet-stream": OpenApiTypes.BINARY}
UPLOAD_ID: Final = OpenApiParameter("upload_id", OpenApiTypes.UUID, OpenApiParameter.PATH)

LIST: Final[dict[str, Any]] = {
    "operation_id": "uploads_list",
    "tags": TAGS,
    "summary": "List uploads",
    "description": "One's own, newest first; with view_import everybody's.",
    "parameters": [UploadFilterSerializer],
    "responses": {200: OpenApiResponse(UploadSerializer(many=True), examples=[EXAMPLE]), **problem_responses(400, 412)},
}
CREATE: Final[dict[str, Any]] = {
    "operation_id": "uploads_create",
    "tags": TAGS,
    "summary": "Create an upload",
    "description": CONCEPT,
    "parameters": [
        TUS_RESUMABLE,
        _header("Upload-Length", "bytes of the whole upload", COUNT),
        _header("Upload-Defer-Length", "1: the length is not known yet", enum=["1"]),
        _header("Upload-Metadata", "`filename b3JkZXJzLmNzdg==,profile c2x1aWNl`"),
        CONCAT,
        CHECKSUM,
        _answer("Location", "the upload", 201),
        _answer("Upload-Offset", "bytes stored", 201),
        _answer("Upload-Expires", "when an unfinished upload is removed", 201),
    ],
    "request": BYTES,
    "responses": {
        201: OpenApiResponse(UploadSerializer, description="Created.", examples=[EXAMPLE]),
        **problem_responses(400, 404, 409, 410, 412, 413, 415, 460, 507),
    },
}
SHOW: Final[dict[str, Any]] = {
    "operation_id": "uploads_retrieve",
    "tags": TAGS,
    "summary": "How an upload stands",
    "description": "As JSON, also when its bytes are gone. Without Tus-Resumable.",
    "parameters": [UPLOAD_ID],
    "responses": {200: OpenApiResponse(UploadSerializer, examples=[EXAMPLE]), **problem_responses(404, 412)},
}
HEAD: Final[dict[str, Any]] = {
    "operation_id": "uploads_offset",
    "tags": TAGS,
    "summary": "The offset of an upload",
    "description": "When its owner asks, a request that writes to it right now saves what it has and ends.",
    "parameters": [UPLOAD_ID, TUS_RESUMABLE, _answer("Upload-Offset", "bytes stored", 200)],
    "responses": {200: OpenApiResponse(description="In the headers."), **problem_responses(404, 410, 412)},
}
PATCH: Final[dict[str, Any]] = {
    "operation_id": "uploads_append",
    "tags": TAGS,
    "summary": "Add bytes to an upload",
    "description": "What has arrived when the connection breaks is kept, unless it comes with a checksum.",
    "parameters": [
        UPLOAD_ID,
        TUS_RESUMABLE,
        _header("Upload-Offset", "the byte at which these go on", COUNT, required=True),
        _header("Upload-Length", "where it was deferred", COUNT),
        CHECKSUM,
        _answer("Upload-Offset", "bytes stored", 204),
        _answer("Upload-Expires", "when an unfinished upload is removed", 204),
    ],
    "request": BYTES,
    "responses": {
        204: OpenApiResponse(description="Stored."),
        **problem_responses(400, 404, 409, 410, 412, 413, 415, 460, 507),
    },
}
DELETE: Final[dict[str, Any]] = {
    "operation_id": "uploads_terminate",
    "tags": TAGS,
    "summary": "Delete the bytes of an upload",
    "description": "Its imports stay; one that has not ended has to be cancelled first.",
    "parameters": [UPLOAD_ID, TUS_RESUMABLE],
    "responses": {204: OpenApiResponse(description="Deleted."), **problem_responses(404, 409, 410, 412)},
}
