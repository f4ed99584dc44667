"""Uploads as the API shows them."""

from collections.abc import Sequence
from typing import Any

from ingestion.api.documents import import_url
from ingestion.api.tus_headers import upload_url
from ingestion.models import Import, Upload


def upload_documents(uploads: Sequence[Upload]) -> list[dict[str, Any]]:
    """Several uploads, each with its imports."""
    imports: dict[Any, list[dict[str, Any]]] = {upload.pk: [] for upload in uploads}
    rows = Import.objects.filter(upload__in=imports).order_by("pk").values_list("upload_id", "pk", "state")
    for upload_id, import_id, state in rows:
        imports[upload_id].append({"id": import_id, "state": state, "url": import_url(import_id)})
    return [_document(upload, imports[upload.pk]) for upload in uploads]


def upload_document(upload: Upload) -> dict[str, Any]:
    """One upload with its imports."""
    return upload_documents([upload])[0]


def _document(upload: Upload, imports: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": str(upload.pk),
        "url": upload_url(upload.pk),
        "owner": upload.owner_id,
        "kind": upload.kind,
        "state": upload.state,
        "filename": upload.filename,
        "profile": upload.profile,
        "start": upload.start,
        "options": upload.options,
        "offset": upload.offset_bytes,
        "length": upload.length_bytes,
        "sha256": upload.sha256 or None,
        "concatenation": upload.concatenation or None,
        "parts": upload.parts,
        "created_at": upload.created_at,
        "completed_at": upload.completed_at,
        "expires_at": upload.expires_at,
        "imports": imports,
    }
