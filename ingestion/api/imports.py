"""`/imports`: making imports of uploads, seeing how they stand, and controlling them."""

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import signed_in
from accounts.models import User
from config.kernel.api.conditional import etag_of, not_modified
from config.kernel.api.idempotency import once
from config.kernel.api.permissions import SIGNED_IN
from config.kernel.api.queries import checked_query
from config.kernel.api.schema import ETAG, IDEMPOTENCY, IF_NONE_MATCH, LOCATION, problem_responses
from ingestion.api.access import ADD, import_controlled, import_seen, upload_seen, visible_imports
from ingestion.api.documents import import_document, import_documents, import_url
from ingestion.api.examples import IMPORT, IMPORT_REQUEST
from ingestion.api.serializers import (
    ImportFilterSerializer,
    ImportRequestSerializer,
    ImportSerializer,
    ImportSummarySerializer,
    WholeQuerySerializer,
)
from ingestion.api.whole import StreamingBodyView, receive_whole
from ingestion.clock import utc_now
from ingestion.control import import_begin, import_call_off, import_hold, import_resume
from ingestion.intake import Wishes, import_from_upload
from ingestion.models import AUTO, MANUAL, Import, Upload
from ingestion.profile_store import profile_from, profile_named
from ingestion.profiles import Profile
from ingestion.standing import import_mark
from ingestion.uploads.services import Description, upload_terminate

Method = TypeVar("Method", bound=Callable[..., Any])
TAGS: Final = ["imports"]
JSON: Final = "application/json"
MADE: Final = {
    202: OpenApiResponse(ImportSerializer, description="A new import.", examples=[IMPORT]),
    200: OpenApiResponse(ImportSerializer, description="The same import was asked for before.", examples=[IMPORT]),
}
WHOLE: Final = """\
The body is the file, as it is (CSV, or packed by gzip, zstd or zip), with or without `Content-Length`:

    curl -T orders.csv -H "Authorization: Bearer $TOKEN" "$HOST/imports?profile=webshop"

The same bytes again, with the same options, give back the same import (200) unless `force=true`. Of half a file
nothing is imported: when the connection breaks, what arrived is kept as an unfinished upload, which `GET /uploads`
lists and tus can go on with. For large files over bad lines use `/uploads` at once."""


class ImportsView(StreamingBodyView, generics.GenericAPIView[Import]):
    """All imports, and new ones."""

    permissions: ClassVar = {"GET": SIGNED_IN, "POST": ADD, "PUT": ADD}
    # It would look for one object, as PUT usually means.
    metadata_class = None
    serializer_class = ImportSummarySerializer
    orderings: ClassVar = {"-id": ("-pk",), "id": ("pk",)}

    @extend_schema(
        operation_id="imports_list",
        tags=TAGS,
        summary="List imports",
        description="One's own, newest first; with view_import everybody's, those of ingest_csv too.",
        parameters=[ImportFilterSerializer],
        responses={200: ImportSummarySerializer(many=True), **problem_responses(400, 406)},
    )
    def get(self, request: Request) -> Response:
        """List imports."""
        self._filters = checked_query(request, ImportFilterSerializer, lists=("state",))
        page = self.paginate_queryset(self._listed())
        return self.get_paginated_response(import_documents(page or [], now=utc_now()))

    def walked(self, ordering: str) -> QuerySet[Import] | None:
        """No index serves the filters."""
        return visible_imports(signed_in(self.request)) if any(self._filters.values()) else None

    def _listed(self) -> QuerySet[Import]:
        filters = {name: value for name, value in self._filters.items() if value}
        if "state" in filters:
            filters["state__in"] = filters.pop("state")
        found = visible_imports(signed_in(self.request)).filter(**filters).select_related("upload")
        return found.defer("certificate", "signature", "options")

    @extend_schema(
        operation_id="imports_create",
        tags=TAGS,
        summary="Import an upload, or a file",
        description=(
            "With JSON: import an upload, which may still be under way; what the body does not say may stand in the "
            f"address. With any other content type (and then no Idempotency-Key is read): {WHOLE}"
        ),
        parameters=[WholeQuerySerializer, *IDEMPOTENCY, LOCATION],
        request={JSON: ImportRequestSerializer, "text/csv": OpenApiTypes.BINARY},
        examples=[IMPORT_REQUEST],
        responses={**MADE, **problem_responses(400, 404, 406, 409, 410, 413, 415, 422, 507)},
    )
    def post(self, request: Request) -> Response:
        """Import an upload, or the body."""
        if _media_type(request) != JSON:
            return _import_whole(request)
        return once(request, lambda: _import_upload(request))

    @extend_schema(
        operation_id="imports_put",
        tags=TAGS,
        summary="Import a file",
        description=WHOLE,
        parameters=[WholeQuerySerializer, LOCATION],
        request={"text/csv": OpenApiTypes.BINARY},
        responses={**MADE, **problem_responses(400, 404, 406, 409, 413, 415, 422, 507)},
    )
    def put(self, request: Request) -> Response:
        """Import the body."""
        return _import_whole(request)


def _media_type(request: Request) -> str:
    return str(request.content_type or "").partition(";")[0].strip().lower()


def _import_upload(request: Request) -> Response:
    """Nothing of the body is read before somebody who may import has asked."""
    in_address = checked_query(request, WholeQuerySerializer, lists=("map",), only_given=True, paged=False)
    checked = ImportRequestSerializer(data=request.data)
    checked.is_valid(raise_exception=True)
    asked = {**checked.validated_data, **{name: in_address[name] for name in in_address if name not in request.data}}
    user, now = signed_in(request), utc_now()
    upload = upload_seen(user, asked["upload"])
    wishes = _wishes(user, asked)
    owner, created = import_from_upload(
        upload=upload,
        profile=wishes.applied_to(_profile(asked.get("profile", upload.profile))),
        wishes=wishes,
        start=asked["start"],
        created_by_id=user.pk,
        now=now,
    )
    return _made(owner, created=created)


def _profile(asked: str | dict[str, Any]) -> Profile:
    return profile_named(asked) if isinstance(asked, str) else profile_from({"name": "inline", **asked})


def _wishes(user: User, asked: dict[str, Any]) -> Wishes:
    parent = asked.get("parent")
    if parent is not None:
        import_controlled(user, parent)
    return Wishes(
        mapping=asked.get("mapping") or asked.get("map") or {},
        on_conflict=asked.get("on_conflict"),
        max_errors=asked.get("max_errors"),
        max_error_ratio=asked.get("max_error_ratio"),
        parent_id=parent,
        force=asked["force"],
        dry_run=asked["dry_run"],
        while_uploading=asked.get("while_uploading", False),
    )


def _import_whole(request: Request) -> Response:
    """Everything is checked before the first byte of the body is read: nobody sends 10 GB to learn of a misspelling."""
    asked = checked_query(request, WholeQuerySerializer, lists=("map",), paged=False)
    user = signed_in(request)
    wishes = _wishes(user, asked)
    profile = wishes.applied_to(profile_named(asked.get("profile", "")))
    made: list[tuple[Import, bool]] = []

    def completed(upload: Upload) -> None:
        """In the transaction that completes the upload: there is none without its import."""
        made.append(
            import_from_upload(
                upload=upload,
                profile=profile,
                wishes=wishes,
                start=asked["start"],
                created_by_id=user.pk,
                now=utc_now(),
            )
        )

    # Broken off, the upload can be completed by tus: then it is imported in the same way.
    description = Description(
        filename=asked.get("filename", ""),
        profile=profile.name,
        start=AUTO if asked["start"] else MANUAL,
        options=wishes.as_dict(),
    )
    upload = receive_whole(request, description=description, completed=completed)
    owner, created = made[-1]
    if owner.upload_id != upload.pk:
        # The same bytes are there already.
        upload_terminate(upload_id=upload.pk)
    return _made(owner, created=created)


def _made(owner: Import, *, created: bool) -> Response:
    headers = {"Location": import_url(owner.pk)}
    return Response(import_document(owner, now=utc_now()), status=202 if created else 200, headers=headers)


class ImportView(APIView):
    """One import."""

    permissions: ClassVar = {"GET": SIGNED_IN}

    @extend_schema(
        operation_id="imports_retrieve",
        tags=TAGS,
        summary="How an import stands",
        description=(
            "State, progress, rate and time left, counts by outcome and error code. Poll it with `If-None-Match`: as "
            "long as nothing has happened the answer is 304 and costs next to nothing."
        ),
        parameters=[IF_NONE_MATCH, ETAG],
        responses={
            200: OpenApiResponse(ImportSerializer, examples=[IMPORT]),
            304: OpenApiResponse(description="Nothing has happened."),
            **problem_responses(400, 404, 406),
        },
    )
    def get(self, request: Request, import_id: int) -> Response:
        """How the import stands."""
        # Before what it stands for is read: an old mark on a newer answer costs one poll, a newer one hides the news.
        mark = etag_of(import_mark(import_id=import_id) or "")
        owner = import_seen(signed_in(request), import_id)
        # Weak: rates and the time left change with the clock alone.
        headers = {"ETag": f"W/{mark}", "Cache-Control": "private, no-cache"}
        if not_modified(request, mark):
            return Response(status=304, headers=headers)
        return Response(import_document(owner, now=utc_now()), headers=headers)


class _ActionView(APIView):
    """Something to be done with one import; answers with the import."""

    permissions: ClassVar = {"POST": SIGNED_IN}

    def act(self, import_id: int) -> Import:
        raise NotImplementedError

    def post(self, request: Request, import_id: int) -> Response:
        """Do it."""
        import_controlled(signed_in(request), import_id)
        return Response(import_document(self.act(import_id), now=utc_now()))


def _action(name: str, summary: str, description: str) -> Callable[[Method], Method]:
    return extend_schema(
        operation_id=f"imports_{name}",
        tags=TAGS,
        summary=summary,
        description=f"{description} Repeating it changes nothing.",
        request=None,
        responses={
            200: OpenApiResponse(ImportSerializer, examples=[IMPORT]),
            **problem_responses(400, 404, 406, 409, 410),
        },
    )


class ImportStartView(_ActionView):
    """Start."""

    def act(self, import_id: int) -> Import:
        return import_begin(import_id=import_id, now=utc_now())

    @_action("start", "Start an import", "Start one that was made with `start: false`, or go on with a paused one.")
    def post(self, request: Request, import_id: int) -> Response:
        """Start."""
        return super().post(request, import_id)


class ImportPauseView(_ActionView):
    """Pause."""

    def act(self, import_id: int) -> Import:
        return import_hold(import_id=import_id)

    @_action("pause", "Pause an import", "Parts that are being worked on are dropped, merged ones stay.")
    def post(self, request: Request, import_id: int) -> Response:
        """Pause."""
        return super().post(request, import_id)


class ImportResumeView(_ActionView):
    """Resume."""

    def act(self, import_id: int) -> Import:
        return import_resume(import_id=import_id, now=utc_now())

    @_action("resume", "Go on with a paused import", "It goes on behind what is merged.")
    def post(self, request: Request, import_id: int) -> Response:
        """Resume."""
        return super().post(request, import_id)


class ImportCancelView(_ActionView):
    """Cancel."""

    def act(self, import_id: int) -> Import:
        return import_call_off(import_id=import_id, now=utc_now())

    @_action("cancel", "Stop an import for good", "What was merged stays; the rest is in `unprocessed.csv`.")
    def post(self, request: Request, import_id: int) -> Response:
        """Cancel."""
        return super().post(request, import_id)
