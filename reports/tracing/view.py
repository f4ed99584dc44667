"""`GET /imports/{id}/records/{n}`."""

from typing import Any, ClassVar, Final

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import signed_in
from config.kernel.api.permissions import SIGNED_IN
from config.kernel.api.queries import checked_query
from config.kernel.api.schema import problem_responses
from ingestion import states
from ingestion.api.access import import_seen
from ingestion.api.documents import RAW_SHOWN_BYTES, text_of_record
from ingestion.books import OUTCOMES
from ingestion.validation.codes import CODES
from reports.tracing.trace import Trace, record_trace

EXAMPLE: Final = OpenApiExample(
    "a record that was loaded",
    value={
        "import": 7,
        "record": 1,
        "source": "orders.csv",
        "line": 2,
        "byte_offset": 68,
        "byte_length": 54,
        "raw": "o553,u101,lamp-2,1,39.90,EUR,2026-03-04T09:12:00Z\n",
        "raw_complete": True,
        "chunk": {"number": 0, "state": "done", "merged_at": "2026-03-04T10:00:01.250000Z"},
        "outcome": "loaded",
        "rejects": [],
        "order": {"id": "o553", "version": 2, "status": "paid", "import": 7, "first_record": 1},
        "order_line": {"line_no": 1, "sku": "lamp-2", "quantity": 1, "unit_price": "39.9000"},
        "published": True,
        "published_at": "2026-03-04T10:00:02.100000Z",
        "events": [
            {
                "id": "o553:1",
                "version": 1,
                "type": "com.sluice.order.placed.v1",
                "topic": "sluice.orders.v1",
                "partition": 4,
                "offset": 1807,
                "read_at": "2026-03-04T10:00:02.300000Z",
            }
        ],
    },
    response_only=True,
)
REJECTED: Final = OpenApiExample(
    "a record that was rejected",
    value={
        **EXAMPLE.value,
        "record": 3,
        "line": 4,
        "byte_offset": 241,
        "byte_length": 81,
        "raw": "o554,u102,lamp-2,one,39.90,EUR,2026-03-04T09:15:00Z\n",
        "outcome": "rejected",
        "rejects": [
            {
                "code": "invalid_integer",
                "message": "A whole number is needed, written with digits only.",
                "column_number": 4,
                "column_name": "quantity",
                "value": "one",
            }
        ],
        "order": None,
        "order_line": None,
        "published": None,
        "published_at": None,
        "events": [],
    },
    response_only=True,
)


class TracedChunkSerializer(serializers.Serializer[Any]):
    """The part of the file that has the record."""

    number = serializers.IntegerField()
    state = serializers.ChoiceField(choices=tuple(states.CHUNK_TRANSITIONS))
    merged_at = serializers.DateTimeField(allow_null=True)


class TracedRejectSerializer(serializers.Serializer[Any]):
    """One error of the record."""

    code = serializers.ChoiceField(choices=sorted(CODES))
    message = serializers.CharField()
    column_number = serializers.IntegerField(allow_null=True)
    column_name = serializers.CharField(allow_null=True)
    value = serializers.CharField(allow_null=True, allow_blank=True)


class TracedOrderSerializer(serializers.Serializer[Any]):
    """The order, as it is now; `import` and `first_record` are of the import that placed or updated it last."""

    id = serializers.CharField()
    version = serializers.IntegerField()
    status = serializers.CharField()
    first_record = serializers.IntegerField(allow_null=True)

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "import": serializers.IntegerField(allow_null=True)}


class TracedLineSerializer(serializers.Serializer[Any]):
    """Its line, as it is now."""

    line_no = serializers.IntegerField()
    sku = serializers.CharField()
    quantity = serializers.IntegerField()
    unit_price = serializers.CharField(allow_null=True)


class TracedEventSerializer(serializers.Serializer[Any]):
    """An event of the order, and where in Kafka it was read."""

    id = serializers.CharField(help_text="ce_id")
    version = serializers.IntegerField()
    type = serializers.CharField(help_text="ce_type")
    topic = serializers.CharField()
    partition = serializers.IntegerField()
    offset = serializers.IntegerField()
    read_at = serializers.DateTimeField()


class TraceSerializer(serializers.Serializer[Any]):
    """What became of one record."""

    record = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]
    line = serializers.IntegerField(allow_null=True, help_text="null, like raw: the file's bytes are gone")
    byte_offset = serializers.IntegerField(allow_null=True)
    byte_length = serializers.IntegerField(allow_null=True)
    raw = serializers.CharField(allow_null=True, help_text="its text, up to 4 KiB")
    raw_complete = serializers.BooleanField(allow_null=True)
    chunk = TracedChunkSerializer()
    outcome = serializers.ChoiceField(
        choices=OUTCOMES, allow_null=True, help_text="null: not settled yet, or not to be told any more"
    )
    rejects = TracedRejectSerializer(many=True)
    order = TracedOrderSerializer(allow_null=True)
    order_line = TracedLineSerializer(allow_null=True)
    published = serializers.BooleanField(
        allow_null=True, help_text="whether Kafka has the order's first version; null: this import did not place it"
    )
    published_at = serializers.DateTimeField(allow_null=True, help_text="null, too, when it is long ago")
    events = TracedEventSerializer(many=True, help_text="as our own consumer read them (EVENT_HISTORY_DAYS)")

    def get_fields(self) -> dict[str, Any]:
        return {"import": serializers.IntegerField(), **super().get_fields()}


class RecordView(APIView):
    """One record of an import."""

    permissions: ClassVar = {"GET": SIGNED_IN}

    @extend_schema(
        operation_id="imports_record",
        tags=["imports"],
        summary="What became of one record",
        description=(
            "From the record's place in the file to its outcome, its order and line, and to the order's events with "
            "their places in Kafka. For who may see the import."
        ),
        responses={
            200: OpenApiResponse(TraceSerializer, examples=[EXAMPLE, REJECTED]),
            **problem_responses(400, 404, 406),
        },
    )
    def get(self, request: Request, import_id: int, record: int) -> Response:
        """What became of the record."""
        checked_query(request, paged=False)
        owner = import_seen(signed_in(request), import_id)
        return Response(trace_document(record_trace(owner=owner, record=record)))


def trace_document(trace: Trace) -> dict[str, Any]:
    """A trace as the API shows it."""
    order, line, raw = trace.order, trace.order_line, trace.raw
    text = None if raw is None else text_of_record(raw[:RAW_SHOWN_BYTES], trace.source.dialect.get("encoding", "utf-8"))
    return {
        "import": trace.import_id,
        "record": trace.record,
        "source": trace.source.name,
        "line": trace.line,
        "byte_offset": trace.offset,
        "byte_length": trace.length,
        "raw": text,
        "raw_complete": None if text is None or raw is None else len(raw) <= RAW_SHOWN_BYTES,
        "chunk": {"number": trace.chunk.number, "state": trace.chunk.state, "merged_at": trace.chunk.merged_at},
        "outcome": trace.outcome,
        "rejects": [
            {
                "code": reject.code,
                "message": reject.message,
                "column_number": reject.column_number,
                "column_name": reject.column_name or None,
                "value": reject.value,
            }
            for reject in trace.rejects
        ],
        "order": order
        and {
            "id": order.pk,
            "version": order.version,
            "status": order.status,
            "import": order.import_id,
            "first_record": order.import_record,
        },
        "order_line": line
        and {
            "line_no": line.line_no,
            "sku": line.item_id,
            "quantity": line.quantity,
            "unit_price": None if line.unit_price is None else f"{line.unit_price:.4f}",
        },
        "published": trace.published,
        "published_at": trace.published_at,
        "events": [
            {
                "id": event.event_id,
                "version": event.version,
                "type": event.type,
                "topic": event.topic,
                "partition": event.partition,
                "offset": event.offset,
                "read_at": event.consumed_at,
            }
            for event in trace.events
        ],
    }
