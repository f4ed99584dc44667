"""What requests may say, and how answers look: checked on the way in, described to the schema on the way out."""

import re
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.kernel.api.strict import FlagField, KeyField, StrictSerializer, TextField, WholeNumberField
from ingestion import states
from ingestion.api.profile_schema import DESCRIPTION, INLINE, NAME, NO_NUL, SECTIONS
from ingestion.profiles import FIELDS
from ingestion.validation.codes import CODES

LARGEST_ID: Final = (1 << 63) - 1
ON_CONFLICT: Final = ("skip", "update", "error")


class RatioField(serializers.FloatField):
    """A JSON number from 0 to 1."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=1, **options)

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool | str):
            self.fail("invalid")
        return float(super().to_internal_value(data))


@extend_schema_field({"type": "string", "pattern": NAME})
class ProfileNameField(serializers.RegexField):
    """The name of a profile."""

    def __init__(self, **options: Any) -> None:
        super().__init__(re.compile(r"\A[a-z0-9][a-z0-9_-]{0,63}\Z"), trim_whitespace=False, **options)


@extend_schema_field({"type": "string", "maxLength": 1024, "pattern": NO_NUL})
class NameField(serializers.CharField):
    """What a file is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=1024, allow_blank=True, trim_whitespace=False, **options)


@extend_schema_field(DESCRIPTION)
class DescriptionField(serializers.CharField):
    """What a profile is for."""


@extend_schema_field({"type": "string", "maxLength": 1100, "pattern": f"^({'|'.join(FIELDS)})={NO_NUL[1:]}"})
class PairField(serializers.CharField):
    """FIELD=COLUMN, for `map`."""

    default_error_messages = {"no_pair": "Should be FIELD=COLUMN, for instance order_id=InvoiceNo."}

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=1100, trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> Any:
        name, found, column = super().to_internal_value(data).partition("=")
        if not found or not name.strip():
            self.fail("no_pair")
        return name.strip(), column.strip()


@extend_schema_field({"oneOf": [{"type": "string", "pattern": NAME}, INLINE]})
class ProfileField(serializers.Field[Any, Any, Any, Any]):
    """The name of a profile, or a whole one in the layout of `GET /profiles/{name}`."""

    default_error_messages = {"invalid": "The name of a profile, or an object that defines one."}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str | dict) or (isinstance(data, str) and len(data) > 64):
            self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field(
    {
        "type": "object",
        "properties": {name: {"type": "string", "maxLength": 1024, "pattern": NO_NUL} for name in FIELDS},
        "additionalProperties": False,
        "example": {"order_id": "InvoiceNo", "user_country": ""},
    }
)
class MappingField(serializers.DictField):
    """Field → column."""

    def __init__(self, **options: Any) -> None:
        super().__init__(child=TextField(allow_blank=True, max_length=1024), **options)


# Requests


class ImportRequestSerializer(StrictSerializer):
    """An import of an upload. What is left out, the profile decides."""

    upload = serializers.UUIDField(help_text="id of the upload; it may still be under way")
    profile = ProfileField(required=False, help_text="default: the upload's, else sluice")
    mapping = MappingField(required=False, help_text="field → column, instead of the profile's; an empty column: none")
    on_conflict = serializers.ChoiceField(choices=ON_CONFLICT, required=False)
    max_errors = WholeNumberField(min_value=0, max_value=LARGEST_ID, required=False, allow_null=True)
    max_error_ratio = RatioField(required=False, allow_null=True)
    parent = WholeNumberField(  # type: ignore[assignment]
        min_value=1,
        max_value=LARGEST_ID,
        required=False,
        allow_null=True,
        help_text="the import whose mended rejects these are",
    )
    force = FlagField(required=False, default=False, help_text="import the same bytes again")
    dry_run = FlagField(required=False, default=False, help_text="predict only; nothing is written")
    while_uploading = FlagField(
        required=False,
        default=False,
        help_text="begin before the last byte has arrived, if the profile settles all formats",
    )
    start = FlagField(required=False, default=True, help_text="false: wait for POST …/start")


class WholeQuerySerializer(StrictSerializer):
    """The parameters of an import whose bytes are the request's body. What is left out, the profile decides."""

    profile = ProfileNameField(required=False, help_text="name of a profile; default sluice")
    filename = NameField(required=False, help_text="how to call the file")
    map = serializers.ListField(
        child=PairField(), required=False, help_text="FIELD=COLUMN, as often as need be; an empty column: none"
    )
    on_conflict = serializers.ChoiceField(choices=ON_CONFLICT, required=False)
    max_errors = serializers.IntegerField(min_value=0, max_value=LARGEST_ID, required=False)
    max_error_ratio = serializers.FloatField(min_value=0, max_value=1, required=False)
    parent = serializers.IntegerField(  # type: ignore[assignment]
        min_value=1, max_value=LARGEST_ID, required=False, help_text="the import whose mended rejects these are"
    )
    force = serializers.BooleanField(required=False, default=False, help_text="import the same bytes again")
    dry_run = serializers.BooleanField(required=False, default=False, help_text="predict only; nothing is written")
    start = serializers.BooleanField(required=False, default=True, help_text="false: wait for POST …/start")

    def validate_map(self, value: list[tuple[str, str]]) -> dict[str, str]:
        return dict(value)


class ImportFilterSerializer(serializers.Serializer[Any]):
    """Which imports to list."""

    state = serializers.MultipleChoiceField(choices=states.ALL, required=False, help_text="repeat it for several")
    profile = ProfileNameField(required=False)
    created_by = KeyField(required=False, help_text="id of a user")
    parent = serializers.IntegerField(  # type: ignore[assignment]
        required=False, min_value=1, max_value=LARGEST_ID
    )


class RejectFilterSerializer(serializers.Serializer[Any]):
    """Which errors to list."""

    code = serializers.ChoiceField(choices=sorted(CODES), required=False, help_text="an error code of docs/pipeline.md")


class SourceChoiceSerializer(serializers.Serializer[Any]):
    """Of which source; only imports of the command have several."""

    source = serializers.IntegerField(  # type: ignore[assignment]
        required=False, min_value=0, max_value=1 << 31, help_text="number of the source"
    )


class PreviewQuerySerializer(StrictSerializer):
    """How to look at an upload."""

    profile = ProfileNameField(required=False, help_text="name of a profile; default: the upload's")
    map = serializers.ListField(
        child=PairField(), required=False, help_text="FIELD=COLUMN, as often as need be; an empty column: none"
    )
    records = serializers.IntegerField(
        required=False, default=10, min_value=1, max_value=100, help_text="how many records to show"
    )

    def validate_map(self, value: list[tuple[str, str]]) -> dict[str, str]:
        return dict(value)


class RecordsQuerySerializer(StrictSerializer):
    """How much of a file to show."""

    records = serializers.IntegerField(
        required=False, default=10, min_value=1, max_value=100, help_text="how many records to show"
    )


# Answers


class UploadEntrySerializer(serializers.Serializer[Any]):
    """The upload that an import reads."""

    id = serializers.UUIDField()
    filename = serializers.CharField(allow_blank=True)
    state = serializers.CharField()
    received_bytes = serializers.IntegerField()
    length_bytes = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField(allow_null=True)


class ProgressSerializer(serializers.Serializer[Any]):
    """How far and how fast; rates are those of the last 30 seconds."""

    bytes_done = serializers.IntegerField()
    bytes_total = serializers.IntegerField(allow_null=True)
    records_done = serializers.IntegerField()
    records_total = serializers.IntegerField(allow_null=True)
    chunks_done = serializers.IntegerField()
    chunks_planned = serializers.IntegerField()
    bytes_per_second = serializers.IntegerField(allow_null=True)
    records_per_second = serializers.IntegerField(allow_null=True)
    eta_seconds = serializers.IntegerField(allow_null=True)


class OutcomesSerializer(serializers.Serializer[Any]):
    """Every record has exactly one of these."""

    loaded = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    skipped = serializers.IntegerField()
    rejected = serializers.IntegerField()
    ignored = serializers.IntegerField()
    unprocessed = serializers.IntegerField()


class ImportSummarySerializer(serializers.Serializer[Any]):
    """An import in a list."""

    id = serializers.IntegerField()
    state = serializers.ChoiceField(choices=states.ALL)
    reason = serializers.CharField(allow_blank=True, help_text="why it failed, was paused or waits")
    profile = serializers.CharField(allow_blank=True)
    upload = UploadEntrySerializer(allow_null=True)
    created_by = serializers.CharField(allow_null=True, help_text="null: ingest_csv")
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    dry_run = serializers.BooleanField()
    while_uploading = serializers.BooleanField()
    parent = serializers.IntegerField(allow_null=True)  # type: ignore[assignment]
    duplicate_of = serializers.IntegerField(allow_null=True)
    progress = ProgressSerializer()
    outcomes = OutcomesSerializer()
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.IntegerField(), help_text="errors by code, the most frequent first"
    )
    open_rejects = serializers.IntegerField(
        allow_null=True, help_text="rejected records that no child has brought in; null for children and dry runs"
    )


class SourceSerializer(serializers.Serializer[Any]):
    """A file of an import, as it was understood; there is none until the import was prepared."""

    number = serializers.IntegerField()
    name = serializers.CharField()
    bytes = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField(allow_null=True)
    records = serializers.IntegerField(allow_null=True)
    dialect = serializers.DictField(child=serializers.JSONField())
    settlement = serializers.DictField(child=serializers.JSONField())
    evidence = serializers.DictField(child=serializers.JSONField())


class PublishingSerializer(serializers.Serializer[Any]):
    """How far the events of an import's new orders have got (docs/events.md), apart from how long loading took."""

    events = serializers.IntegerField(help_text="one for each new order, while they are kept (OUTBOX_RETENTION_DAYS)")
    events_published = serializers.IntegerField(help_text="how many of them Kafka has acknowledged")
    complete = serializers.BooleanField(help_text="the import has ended, and all its events are in Kafka")
    published_at = serializers.DateTimeField(allow_null=True, help_text="when the last one was; null until then")
    load_seconds = serializers.FloatField(allow_null=True, help_text="how long loading took; null until it ends")
    seconds_after_load = serializers.FloatField(
        allow_null=True, help_text="how long after that the last event was in Kafka; null until then"
    )


class ImportSerializer(ImportSummarySerializer):
    """An import with all there is to say about it."""

    options = serializers.DictField(child=serializers.JSONField(), help_text="the profile, as it is applied")
    sources = SourceSerializer(many=True)
    children = serializers.ListField(child=serializers.IntegerField())
    slowed_since = serializers.DateTimeField(
        allow_null=True,
        help_text="since when it waits between chunks because events are published late (OUTBOX_MAX_LAG_SECONDS)",
    )
    publishing = PublishingSerializer(allow_null=True, help_text="null for dry runs")
    links = serializers.DictField(child=serializers.CharField())


class RejectSerializer(serializers.Serializer[Any]):
    """One error of one record."""

    source = serializers.CharField()  # type: ignore[assignment]
    record = serializers.IntegerField()
    line = serializers.IntegerField()
    byte_offset = serializers.IntegerField()
    byte_length = serializers.IntegerField()
    column_number = serializers.IntegerField(allow_null=True)
    column_name = serializers.CharField(allow_null=True)
    code = serializers.ChoiceField(choices=sorted(CODES))
    message = serializers.CharField()
    value = serializers.CharField(allow_null=True, allow_blank=True)
    raw = serializers.CharField(
        allow_null=True, help_text="the record's text, up to 4 KiB, with its first error; null where it has none"
    )
    raw_complete = serializers.BooleanField(allow_null=True)


class ChunkSerializer(serializers.Serializer[Any]):
    """A part of an import, as workers see it."""

    number = serializers.IntegerField()
    source = serializers.IntegerField()  # type: ignore[assignment]
    offset = serializers.IntegerField()
    length = serializers.IntegerField()
    first_record = serializers.IntegerField()
    records = serializers.IntegerField()
    state = serializers.ChoiceField(choices=tuple(states.CHUNK_TRANSITIONS))
    attempts = serializers.IntegerField()
    worker = serializers.CharField(allow_blank=True)
    lease_until = serializers.DateTimeField(allow_null=True)
    resolved_at = serializers.DateTimeField(allow_null=True)
    merged_at = serializers.DateTimeField(allow_null=True)
    outcomes = serializers.DictField(child=serializers.IntegerField())
    errors = serializers.DictField(child=serializers.IntegerField())  # type: ignore[assignment]
    last_error = serializers.CharField(allow_blank=True)


class DisagreementSerializer(serializers.Serializer[Any]):
    """A value that lost against an earlier record of the same user, item or order."""

    entity = serializers.ChoiceField(choices=("user", "item", "order"))
    key = serializers.CharField()
    field = serializers.CharField()
    kept = serializers.CharField(allow_blank=True)
    seen = serializers.CharField(allow_blank=True)
    first_record = serializers.IntegerField()
    records = serializers.IntegerField(help_text="how many records of one chunk said so")


class CertificateSerializer(serializers.Serializer[Any]):
    """What an import did, signed."""

    certificate = serializers.DictField(child=serializers.JSONField())
    signature = serializers.CharField(help_text="django.core.signing, salt sluice.certificate; holds the certificate")


class PreviewErrorSerializer(serializers.Serializer[Any]):
    """What is wrong with a record of the sample."""

    record = serializers.IntegerField()
    column = serializers.IntegerField(allow_null=True)
    column_name = serializers.CharField(allow_null=True, allow_blank=True)
    code = serializers.CharField()
    message = serializers.CharField()
    value = serializers.CharField(allow_null=True, allow_blank=True)


class PredictionSerializer(serializers.Serializer[Any]):
    """What would become of the sample, as far as it can be told without the database."""

    records = serializers.IntegerField()
    valid = serializers.IntegerField()
    rejected = serializers.IntegerField()
    ignored = serializers.IntegerField()
    errors = serializers.DictField(child=serializers.IntegerField())  # type: ignore[assignment]


class MappedColumnSerializer(serializers.Serializer[Any]):
    """The columns that fill a field; several when a template puts them together."""

    columns = serializers.ListField(child=serializers.CharField())
    default = serializers.CharField(allow_null=True)


class PreviewSerializer(serializers.Serializer[Any]):
    """How a file would be read."""

    source = serializers.CharField()  # type: ignore[assignment]
    kind = serializers.CharField(help_text="plain, gzip, zstd or zip")
    bytes = serializers.IntegerField(allow_null=True)
    dialect = serializers.DictField(child=serializers.JSONField())
    evidence = serializers.DictField(child=serializers.CharField())
    mapped = serializers.BooleanField(help_text="whether every required field has a column")
    problems = serializers.ListField(child=serializers.CharField(), help_text="what keeps it from being imported")
    warnings = serializers.ListField(child=serializers.CharField())
    mapping = serializers.DictField(child=MappedColumnSerializer())
    unmapped = serializers.ListField(child=serializers.CharField())
    formats = serializers.DictField(child=serializers.JSONField(), allow_null=True)
    settles_everything = serializers.BooleanField(help_text="whether it could be imported while it is uploaded")
    records = serializers.ListField(child=serializers.DictField(child=serializers.JSONField()))
    errors = PreviewErrorSerializer(many=True)  # type: ignore[assignment]
    prediction = PredictionSerializer()


def _section(name: str) -> serializers.Field[Any, Any, Any, Any]:
    """A table of a profile, described as exactly as it can be; checked by ingestion.profiles."""
    kind = type(f"{name.title()}Field", (serializers.DictField,), {"__doc__": f"[{name}] of a profile."})
    field: serializers.Field[Any, Any, Any, Any] = extend_schema_field(SECTIONS[name])(kind)(required=False)
    return field


class ProfileChangeSerializer(StrictSerializer):
    """A profile in the layout of the TOML files (docs/profiles.md); its name stands in the address."""

    name = ProfileNameField(required=False)
    description = DescriptionField(required=False)
    mapping = _section("mapping")
    templates = _section("templates")
    defaults = _section("defaults")
    reading = _section("reading")
    ids = _section("ids")
    formats = _section("formats")
    rules = _section("rules")


class ProfileSerializer(ProfileChangeSerializer):
    """A profile in the layout of the TOML files (docs/profiles.md). Answers have all defaults written out."""

    name = ProfileNameField()


class ProfileEntrySerializer(serializers.Serializer[Any]):
    """A profile in the list."""

    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    built_in = serializers.BooleanField()
    version = serializers.IntegerField()
    created_by = serializers.CharField(allow_null=True)
    updated_at = serializers.DateTimeField(allow_null=True)
    url = serializers.CharField()


class ProfileListSerializer(serializers.Serializer[Any]):
    """All profiles."""

    results = ProfileEntrySerializer(many=True)
