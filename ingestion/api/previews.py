"""How a file would be read: what was detected, the mapping, the first records. Writes nothing."""

import threading
from typing import Any, ClassVar, Final

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import signed_in
from config.kernel.api.permissions import SIGNED_IN
from config.kernel.api.queries import checked_query
from config.kernel.api.schema import problem_responses
from ingestion.api.access import ADD, import_seen, upload_seen
from ingestion.api.serializers import PreviewQuerySerializer, PreviewSerializer, RecordsQuerySerializer
from ingestion.errors import BytesGoneError, PreviewsBusyError, UnreadableSourceError
from ingestion.intake import settles_everything
from ingestion.models import GONE, Import, Source, Upload
from ingestion.opening import source_from_descriptor, source_of_upload
from ingestion.prepare import detect_source
from ingestion.preview import Preview, preview_opened
from ingestion.profile_store import profile_named, profile_with
from ingestion.profiles import Profile
from ingestion.reader import ByteSource, ReaderError, SourceUnavailable
from ingestion.uploads.errors import UploadGoneError

ERRORS_SHOWN: Final = 100
WAIT_SECONDS: Final = 5.0
AT_ONCE: Final = threading.BoundedSemaphore(2)
"""A preview judges the encoding by up to 64 MiB, as the import will: a web process holds no more than two of them."""


class ImportPreviewView(APIView):
    """The file of an import."""

    permissions: ClassVar = {"GET": SIGNED_IN}

    @extend_schema(
        operation_id="imports_preview",
        tags=["imports"],
        summary="How the file of an import would be read",
        description="By the import's own profile and options. The first file, where ingest_csv was given several.",
        parameters=[RecordsQuerySerializer],
        responses={200: PreviewSerializer, **problem_responses(400, 404, 406, 410, 422)},
    )
    def get(self, request: Request, import_id: int) -> Response:
        """How the file would be read."""
        owner = import_seen(signed_in(request), import_id)
        asked = checked_query(request, RecordsQuerySerializer)
        return Response(_preview_of(owner, records=asked["records"]))


class UploadPreviewView(APIView):
    """The file of an upload that is no import yet."""

    permissions: ClassVar = {"GET": ADD}

    @extend_schema(
        operation_id="uploads_preview",
        tags=["uploads"],
        summary="How an upload would be read",
        description="By a profile of your choice. Works while bytes still arrive, on those that are there.",
        parameters=[PreviewQuerySerializer],
        responses={200: PreviewSerializer, **problem_responses(400, 404, 406, 410, 422)},
    )
    def get(self, request: Request, upload_id: Any) -> Response:
        """How the upload would be read."""
        upload = upload_seen(signed_in(request), upload_id)
        asked = checked_query(request, PreviewQuerySerializer, lists=("map",))
        profile = profile_with(profile_named(asked.get("profile", upload.profile)), mapping=asked.get("map"))
        return Response(_seen(upload, profile=profile, records=asked["records"]))


def _preview_of(owner: Import, *, records: int) -> dict[str, Any]:
    profile = Profile.from_dict(owner.options) if owner.options else profile_named(owner.profile)
    if owner.upload is not None:
        return _seen(owner.upload, profile=profile, records=records)
    first = Source.objects.filter(owner=owner).order_by("number").first()
    if first is None:
        raise BytesGoneError(name=f"import {owner.pk}")
    return _look(source_from_descriptor(first.descriptor), profile=profile, records=records, more_to_come=False)


def _seen(upload: Upload, *, profile: Profile, records: int) -> dict[str, Any]:
    if upload.state in GONE:
        raise UploadGoneError(upload_id=str(upload.pk), state=upload.state)
    receiving = upload.state == Upload.State.RECEIVING
    try:
        source = source_of_upload(upload)
    except ReaderError as error:
        raise _refusal(error, upload.filename or f"upload {upload.pk}") from error
    return _look(source, profile=profile, records=records, more_to_come=receiving)


def _look(source: ByteSource, *, profile: Profile, records: int, more_to_come: bool) -> dict[str, Any]:
    # Those who wait hold threads that everything else needs, so they do not wait long.
    if not AT_ONCE.acquire(timeout=WAIT_SECONDS):
        raise PreviewsBusyError
    try:
        opened = detect_source(source, profile=profile, more_to_come=more_to_come)
        return _document(preview_opened(opened, profile=profile, records=records), profile)
    except ReaderError as error:
        raise _refusal(error, source.name) from error
    finally:
        AT_ONCE.release()


def _refusal(error: ReaderError, name: str) -> BytesGoneError | UnreadableSourceError:
    if isinstance(error, SourceUnavailable):
        return BytesGoneError(name=name)
    return UnreadableSourceError(name=name, reason=error.code, explanation=error.message, hint=error.hint)


def _document(preview: Preview, profile: Profile) -> dict[str, Any]:
    told, settlement = preview.as_dict(), preview.settlement
    header = preview.opened.dialect.header
    return {
        **{
            name: told[name]
            for name in ("source", "kind", "bytes", "dialect", "evidence", "mapped", "problems", "records")
        },
        "warnings": list(settlement.warnings) if settlement else [],
        "mapping": _mapping(preview),
        "unmapped": [header[place] for place in settlement.unmapped] if settlement else list(header),
        "formats": settlement.as_dict()["formats"] if settlement else None,
        "settles_everything": not settles_everything(profile),
        "errors": told["errors"][:ERRORS_SHOWN],
        "prediction": {
            "records": preview.prediction.records,
            "valid": preview.prediction.valid,
            "rejected": preview.prediction.rejected,
            "ignored": preview.prediction.ignored,
            "errors": preview.prediction.errors,
        },
    }


def _mapping(preview: Preview) -> dict[str, dict[str, Any]]:
    """Field → the columns that fill it, and its default."""
    settlement, header = preview.settlement, preview.opened.dialect.header
    if settlement is None:
        return {}
    columns = {name: [header[place]] for name, place in settlement.columns.items()}
    for name, parts in settlement.templates.items():
        columns[name] = [header[part] for part in parts if isinstance(part, int)]
    return {
        name: {"columns": columns.get(name, []), "default": settlement.defaults.get(name)}
        for name in sorted({*columns, *settlement.defaults})
    }
