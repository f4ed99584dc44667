"""What became of an import's records: rejects as pages and as files, the certificate, what was not processed."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Final, TypeVar

from django.db.models import BinaryField, QuerySet
from django.db.models.functions import Substr
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import signed_in
from config.kernel.api.conditional import etag_of, not_modified
from config.kernel.api.permissions import SIGNED_IN
from config.kernel.api.queries import checked_query
from config.kernel.api.schema import problem_responses
from config.kernel.errors import ApplicationError
from ingestion import states
from ingestion.api.access import VIEW, import_seen
from ingestion.api.documents import RAW_SHOWN_BYTES, reject_document
from ingestion.api.examples import REJECT
from ingestion.api.serializers import (
    CertificateSerializer,
    ChunkSerializer,
    DisagreementSerializer,
    RejectFilterSerializer,
    RejectSerializer,
    SourceChoiceSerializer,
)
from ingestion.errors import (
    BytesGoneError,
    CertificateNotReadyError,
    ImportNotStoppedError,
    SeveralHeadersError,
    SourceNotFoundError,
)
from ingestion.models import GONE, Chunk, Disagreement, Import, Reject, Source
from ingestion.opening import source_of_upload
from ingestion.reader import SourceUnavailable
from ingestion.rejectfiles import alike_groups, error_parts, failed_parts
from ingestion.unprocessed import unprocessed_parts
from ingestion.uploads.errors import UploadGoneError
from ingestion.uploads.reading import UploadReader

TAGS: Final = ["imports"]
Method = TypeVar("Method", bound=Callable[..., Any])
REJECT_COLUMNS: Final = (
    "source",
    "record",
    "position",
    "line",
    "offset",
    "length",
    "column_number",
    "column_name",
    "code",
    "message",
    "value",
)
DISPOSITION: Final = OpenApiParameter("Content-Disposition", str, OpenApiParameter.HEADER, response=[200])


class FileRenderer(JSONRenderer):
    """Of a view that streams a file, whatever the client says it accepts; a problem comes as JSON all the same."""

    media_type = "*/*"
    format = "csv"


class RejectsView(generics.GenericAPIView[Reject]):
    """Errors, record by record."""

    permissions: ClassVar = {"GET": SIGNED_IN}
    serializer_class = RejectSerializer
    orderings: ClassVar = {"record": ("record", "position")}

    @extend_schema(
        operation_id="imports_rejects",
        tags=TAGS,
        summary="Rejected records, error by error",
        description="In file order. While the import runs, records may appear before those that were listed already.",
        parameters=[RejectFilterSerializer],
        responses={
            200: OpenApiResponse(RejectSerializer(many=True), examples=[REJECT]),
            **problem_responses(400, 404, 406),
        },
    )
    def get(self, request: Request, import_id: int) -> Response:
        """Rejected records, error by error."""
        self._code = checked_query(request, RejectFilterSerializer).get("code")
        self._owner = import_seen(signed_in(request), import_id, whole=False)
        page = self.paginate_queryset(self._rows())
        sources = list(Source.objects.filter(owner=self._owner))
        names = {source.number: source.name for source in sources}
        encodings = {source.number: source.dialect.get("encoding", "utf-8") for source in sources}
        return self.get_paginated_response(
            [reject_document(row, names=names, encodings=encodings) for row in page or []]
        )

    def walked(self, ordering: str) -> QuerySet[Reject] | None:
        """No index serves the code: it would cost every import more than it saves those who filter."""
        return Reject.objects.filter(owner=self._owner) if self._code else None

    def _rows(self) -> Any:
        found = Reject.objects.filter(owner=self._owner)
        if self._code:
            found = found.filter(code=self._code)
        start = Substr("raw", 1, RAW_SHOWN_BYTES, output_field=BinaryField())
        return found.annotate(raw_start=start).values(*REJECT_COLUMNS, "raw_start")


def _csv_schema(
    name: str, summary: str, description: str, *statuses: int, choice: bool = False
) -> Callable[[Method], Method]:
    return extend_schema(
        operation_id=f"imports_{name}",
        tags=TAGS,
        summary=summary,
        description=description,
        parameters=[DISPOSITION, *([SourceChoiceSerializer] if choice else [])],
        responses={
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.BINARY, description="The file."),
            **problem_responses(400, 404, *statuses),
        },
    )


class _FileView(APIView):
    """A file that is made while it is sent."""

    permissions: ClassVar = {"GET": SIGNED_IN}
    renderer_classes = [FileRenderer]

    def answer(self, request: Request, parts: Iterable[bytes], *, name: str, kind: str = "text/csv") -> Any:
        """
        Stream it. With HEAD nothing is made.

        Args:
            kind: its content type.
        """
        body = () if request.method == "HEAD" else parts
        response = StreamingHttpResponse(body, content_type=kind)
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        response.headers["Cache-Control"] = "private, no-store"
        return response


class FailedView(_FileView):
    """Rejected records, to be mended."""

    @_csv_schema(
        "failed",
        "Rejected records, byte for byte",
        "Behind the header of the file, each record once. Mend it, and import it with `parent` set to this import. An "
        "import of several files with different headers (of ingest_csv) has one for each: `?source=`.",
        409,
        choice=True,
    )
    def get(self, request: Request, import_id: int) -> Any:
        """Rejected records, byte for byte."""
        owner = import_seen(signed_in(request), import_id, whole=False)
        sources = _chosen(request, owner)
        parts = failed_parts(owner=owner, sources=sources) if sources else iter(())
        return self.answer(request, parts, name=f"import-{owner.pk}-failed.csv")


class ErrorsView(_FileView):
    """Errors, for people."""

    @_csv_schema(
        "errors",
        "Errors, for people",
        "One line for each error, in UTF-8. What a spreadsheet could take for a formula has an apostrophe in front.",
    )
    def get(self, request: Request, import_id: int) -> Any:
        """Errors, for people."""
        owner = import_seen(signed_in(request), import_id, whole=False)
        parts = error_parts(owner=owner, sources=_sources(owner))
        return self.answer(request, parts, name=f"import-{owner.pk}-errors.csv", kind="text/csv; charset=utf-8")


class UnprocessedView(_FileView):
    """What a stopped import left over."""

    @_csv_schema(
        "unprocessed",
        "What a stopped import did not process",
        "Of an import that failed or was cancelled: the records without an outcome, byte for byte, behind the header. "
        "Import it with `on_conflict=update`, because an order may have lines in both parts. It is there as long as "
        "the uploaded bytes are.",
        409,
        410,
        choice=True,
    )
    def get(self, request: Request, import_id: int) -> Any:
        """What was not processed."""
        owner = import_seen(signed_in(request), import_id, whole=False)
        if owner.state not in states.ENDED - states.SUCCEEDED:
            raise ImportNotStoppedError(import_id=owner.pk, state=owner.state)
        sources = _chosen(request, owner)
        parts = _begun(unprocessed_parts(owner=owner, sources=sources) if sources else _whole_upload(owner), owner)
        return self.answer(request, parts, name=f"import-{owner.pk}-unprocessed.csv")


def _whole_upload(owner: Import) -> Iterator[bytes]:
    """Nothing was found out about it yet, so nothing of it was processed."""
    if owner.upload is None:
        raise BytesGoneError(name=f"import {owner.pk}")
    reader = UploadReader(owner.upload.pk)
    if reader.stored_bytes() < owner.upload.offset_bytes:
        raise _gone(owner)
    return source_of_upload(owner.upload).blocks_from(0) if owner.upload.offset_bytes else iter(())


def _gone(owner: Import) -> ApplicationError:
    upload = owner.upload
    if upload is not None and upload.state in GONE:
        return UploadGoneError(upload_id=str(upload.pk), state=upload.state)
    return BytesGoneError(name=f"import {owner.pk}")


def _begun(parts: Iterator[bytes], owner: Import) -> Iterator[bytes]:
    """The same parts; that the bytes are gone is found out now, while an error can still be told."""
    try:
        first = next(parts, b"")
    except SourceUnavailable as error:
        raise _gone(owner) from error
    return itertools.chain([first], parts)


def _sources(owner: Import) -> list[Source]:
    return list(Source.objects.filter(owner=owner).order_by("number"))


def _chosen(request: Request, owner: Import) -> list[Source]:
    """The sources whose records stand in one file; none before the import was prepared."""
    number = checked_query(request, SourceChoiceSerializer).get("source")
    sources = _sources(owner)
    if number is not None:
        chosen = [source for source in sources if source.number == number]
        if not chosen:
            raise SourceNotFoundError(import_id=owner.pk, source=number)
        return chosen
    groups = alike_groups(sources)
    if len(groups) > 1:
        url = request.path
        raise SeveralHeadersError(import_id=owner.pk, links=[f"{url}?source={source.number}" for source in sources])
    return sources


class CertificateView(APIView):
    """What an import did, signed."""

    permissions: ClassVar = {"GET": SIGNED_IN}

    @extend_schema(
        operation_id="imports_certificate",
        tags=TAGS,
        summary="The signed certificate",
        description=(
            "Records, outcomes, errors, rows written, dialect, settlement and SHA-256 of every source. `signature` "
            "contains the certificate and can be checked without the database; docs/api.md says how. Of a dry run it "
            "says what would have happened."
        ),
        responses={
            200: CertificateSerializer,
            304: OpenApiResponse(description="Not changed."),
            **problem_responses(400, 404, 406, 409),
        },
    )
    def get(self, request: Request, import_id: int) -> Response:
        """The signed certificate."""
        owner = import_seen(signed_in(request), import_id)
        if owner.state not in states.ENDED or owner.certificate is None:
            raise CertificateNotReadyError(import_id=owner.pk, state=owner.state)
        etag = etag_of(f"{owner.pk}-{owner.signature[-43:]}")
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if not_modified(request, etag):
            return Response(status=304, headers=headers)
        headers["Content-Disposition"] = f'inline; filename="import-{owner.pk}-certificate.json"'
        return Response({"certificate": owner.certificate, "signature": owner.signature}, headers=headers)


class ChunksView(generics.GenericAPIView[Chunk]):
    """How the work is divided, for operators."""

    permissions: ClassVar = {"GET": VIEW}
    serializer_class = ChunkSerializer
    orderings: ClassVar = {"number": ("number",), "-number": ("-number",)}

    @extend_schema(
        operation_id="imports_chunks",
        tags=TAGS,
        summary="Parts of an import, for operators",
        responses={200: ChunkSerializer(many=True), **problem_responses(400, 404, 406)},
    )
    def get(self, request: Request, import_id: int) -> Response:
        """Parts of an import."""
        checked_query(request)
        owner = import_seen(signed_in(request), import_id, whole=False)
        page = self.paginate_queryset(Chunk.objects.filter(owner=owner))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class DisagreementsView(generics.GenericAPIView[Disagreement]):
    """Values that lost against earlier ones."""

    permissions: ClassVar = {"GET": SIGNED_IN}
    serializer_class = DisagreementSerializer
    orderings: ClassVar = {"id": ("pk",)}

    @extend_schema(
        operation_id="imports_disagreements",
        tags=TAGS,
        summary="Values that lost against earlier ones",
        description="The earliest record wins. Each chunk lists some of them; the certificate counts all.",
        responses={200: DisagreementSerializer(many=True), **problem_responses(400, 404, 406)},
    )
    def get(self, request: Request, import_id: int) -> Response:
        """Values that lost against earlier ones."""
        checked_query(request)
        owner = import_seen(signed_in(request), import_id, whole=False)
        page = self.paginate_queryset(Disagreement.objects.filter(owner=owner))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
