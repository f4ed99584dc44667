"""Imports, their sources and chunks, and what the chunks left behind: rejects and disagreements."""

import uuid
from typing import ClassVar, Final

from django.db import models

from accounts.models import User
from ingestion import states


class Import(models.Model):
    """
    One run of one or more sources through the pipeline. No progress is kept here: chunk rows have it, because
    every merge reads this row FOR SHARE and a counter would serialise them.

    `options` is the resolved profile with the overrides of the call; its hash and the sources' fingerprints tell
    whether two calls ask for the same import. Line numbers start after `line_base` (0 but for a child import).
    """

    state = models.CharField(max_length=24, choices=[(state, state) for state in states.ALL], default=states.OPEN)
    reason = models.TextField(blank=True)
    profile = models.CharField(max_length=128, blank=True)
    options = models.JSONField(default=dict)
    options_hash = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    line_base = models.BigIntegerField(default=0)
    planned_at = models.DateTimeField(null=True, blank=True)
    # Protected: without its person an import would be judged by the rights of the operator's shell.
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    active_seconds = models.FloatField(default=0)
    certificate = models.JSONField(null=True, blank=True)
    signature = models.TextField(blank=True)
    upload = models.ForeignKey("Upload", on_delete=models.SET_NULL, null=True, blank=True, related_name="imports")
    duplicate_of = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    dry_run = models.BooleanField(default=False)
    while_uploading = models.BooleanField(default=False)
    # Which workers do it: `dispatch.SMALL` or `LARGE`; "" for imports of the command, which brings its own workers.
    queue = models.CharField(max_length=8, blank=True, default="")
    prepared_at = models.DateTimeField(null=True, blank=True)
    # Preparing, planning, dry-running and certifying are one worker's job at a time: a claim like that of a chunk.
    step_token = models.BigIntegerField(default=0)
    step_worker = models.CharField(max_length=128, blank=True, default="")
    step_attempts = models.PositiveIntegerField(default=0)
    step_lease_until = models.DateTimeField(null=True, blank=True)
    step_backend_pid = models.IntegerField(null=True, blank=True)
    step_backend_start = models.DateTimeField(null=True, blank=True)
    step_error = models.TextField(blank=True, default="")
    # Of a dry run, whose chunks nobody else can see: records_done, bytes_done, bytes_total.
    step_progress = models.JSONField(default=dict, blank=True)
    # Whether somebody asked for it although these bytes were imported before.
    forced = models.BooleanField(default=False)
    # Since when it runs without a pause; `active_seconds` has what was before. Null for imports of the command.
    running_since = models.DateTimeField(null=True, blank=True)
    # Since when its workers wait between chunks for the outbox, while it runs (`ingestion.pressure`).
    slowed_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(state__in=states.ALL), name="ingestion_import_state_known"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["fingerprint", "options_hash"], name="ingestion_import_same"),
            models.Index(
                fields=["queue", "id"],
                condition=models.Q(state__in=["queued", "running", "uploading"]),
                name="ingestion_import_to_do",
            ),
            models.Index(
                fields=["id"],
                condition=models.Q(state__in=["failed", "cancelled"], certificate=None) & ~models.Q(queue=""),
                name="ingestion_import_to_certify",
            ),
        ]

    def __str__(self) -> str:
        return f"import {self.pk} ({self.state})"


class StoredProfile(models.Model):
    """A profile kept by the API, found by its name beside the built-in ones; `definition` is `Profile.as_dict`."""

    name = models.CharField(max_length=128, unique=True)
    definition = models.JSONField()
    version = models.PositiveIntegerField(default=1)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


# `Upload.concatenation`
PARTIAL: Final = "partial"
FINAL: Final = "final"
# `Upload.start`: when its last byte has arrived, or when somebody says so
AUTO: Final = "auto"
MANUAL: Final = "manual"


class Upload(models.Model):
    """
    Bytes on their way into storage, as a row of immutable segments.

    `offset_bytes` is what is durably stored. `writer_token` is a fencing token: a request that writes takes a higher
    one, and one that finds another than its own stops; `writer_until` tells others that somebody writes right now, and
    `yield_token` asks the writer that holds this token to save what it has and let go. `unpacked_bytes` is the size of
    the decompressed content, known when all of it is there.
    `kind`: "tus", or "whole" (PUT or POST of a whole file). `concatenation`: "", "partial" or "final"; `parts` are the
    ids of the partial uploads that a final one is made of. When its bytes are gone the row stays, as "expired" or
    "terminated".
    """

    class State(models.TextChoices):
        RECEIVING = "receiving"
        COMPLETE = "complete"
        TERMINATED = "terminated"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=8, default="tus")
    state = models.CharField(max_length=12, choices=State.choices, default=State.RECEIVING)
    filename = models.CharField(max_length=1024, blank=True)
    profile = models.CharField(max_length=128, blank=True)
    start = models.CharField(max_length=8, default=AUTO)
    metadata = models.TextField(blank=True)
    options = models.JSONField(default=dict)
    length_bytes = models.BigIntegerField(null=True, blank=True)
    offset_bytes = models.BigIntegerField(default=0)
    concatenation = models.CharField(max_length=8, blank=True)
    parts = models.JSONField(default=list)
    sha256 = models.CharField(max_length=64, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    writer_token = models.BigIntegerField(default=0)
    writer_until = models.DateTimeField(null=True, blank=True)
    yield_token = models.BigIntegerField(default=0)
    unpacked_bytes = models.BigIntegerField(null=True, blank=True)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(length_bytes=None) | models.Q(offset_bytes__lte=models.F("length_bytes")),
                name="ingestion_upload_not_too_long",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-created_at", "-id"], name="ingestion_upload_of_owner"),
            models.Index(fields=["-created_at", "-id"], name="ingestion_upload_newest"),
            models.Index(
                fields=["expires_at"],
                condition=models.Q(state__in=["receiving", "complete"]),
                name="ingestion_upload_to_expire",
            ),
        ]

    def __str__(self) -> str:
        return f"upload {self.pk} ({self.state})"


GONE: Final = frozenset({Upload.State.TERMINATED, Upload.State.EXPIRED})
"""States of an upload that has no bytes any more."""


class Segment(models.Model):
    """
    A blob in storage that holds some bytes of an upload; never changed once its row is there.

    `content`: "stored" as received, or "unpacked", the decompressed bytes of a packed upload with their own offsets.
    Concatenation lets several rows name the same blob, which is deleted with the last of them.
    """

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="segments")
    content = models.CharField(max_length=8, default="stored")
    number = models.PositiveIntegerField()
    offset_bytes = models.BigIntegerField()
    length_bytes = models.BigIntegerField()
    name = models.CharField(max_length=255)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["upload", "content", "number"], name="ingestion_segment_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["name"], name="ingestion_segment_blob")]

    def __str__(self) -> str:
        return self.name


class Source(models.Model):
    """
    One file of an import, with what was detected about it. `preface` is the original bytes before the first record
    (byte order mark, preamble, header): failed.csv begins with them. Sizes and offsets are of decompressed bytes.
    """

    owner = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="sources", db_column="import_id")
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=1024)
    descriptor = models.JSONField(default=dict)
    dialect = models.JSONField(default=dict)
    settlement = models.JSONField(default=dict)
    evidence = models.JSONField(default=dict)
    preface = models.BinaryField(default=b"")
    size_bytes = models.BigIntegerField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    records = models.BigIntegerField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner", "number"], name="ingestion_source_once"),
        ]

    def __str__(self) -> str:
        return self.name


class Chunk(models.Model):
    """
    A record-safe byte range of a source: the unit of work, retry, progress and parallelism.

    `number` runs over all sources of the import, and so do `first_record` (1-based) and nothing else: offsets and
    lines are those of the source. `token` is the fencing token: it grows with each claim, and a worker may only
    write while it is still its own. `outcomes` counts records (`loaded`, `unchanged`, `skipped`, `rejected`,
    `ignored`, `unprocessed`), `facts` counts rows (`users_inserted`, `orders_inserted`, …).
    """

    owner = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="chunks", db_column="import_id")
    number = models.PositiveIntegerField()
    source = models.PositiveIntegerField()
    offset = models.BigIntegerField()
    length = models.BigIntegerField()
    first_record = models.BigIntegerField()
    records = models.BigIntegerField()
    first_line = models.BigIntegerField()
    lines = models.BigIntegerField()
    quoting = models.CharField(max_length=16)
    state = models.CharField(max_length=16, default=states.PLANNED)
    token = models.BigIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=128, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    backend_pid = models.IntegerField(null=True, blank=True)
    backend_start = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    merged_at = models.DateTimeField(null=True, blank=True)
    resolution = models.JSONField(default=dict)
    outcomes = models.JSONField(default=dict)
    errors = models.JSONField(default=dict)
    ignored = models.JSONField(default=dict)
    facts = models.JSONField(default=dict)
    displaced = models.JSONField(default=dict)
    digests = models.JSONField(default=dict)
    last_error = models.TextField(blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner", "number"], name="ingestion_chunk_once"),
            models.CheckConstraint(
                condition=models.Q(state__in=states.CHUNK_TRANSITIONS), name="ingestion_chunk_state_known"
            ),
        ]

    def __str__(self) -> str:
        return f"chunk {self.number} of import {self.owner_id}"


class Reject(models.Model):
    """
    One error of one record. The first error of a record (`position` 0) carries the record's original bytes, up to
    the profile's record limit, so that failed.csv outlives the upload.
    """

    owner = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="rejects", db_column="import_id")
    chunk = models.PositiveIntegerField()
    source = models.PositiveIntegerField()
    record = models.BigIntegerField()
    position = models.PositiveSmallIntegerField()
    line = models.BigIntegerField()
    offset = models.BigIntegerField()
    length = models.BigIntegerField()
    column_number = models.PositiveIntegerField(null=True, blank=True)
    column_name = models.CharField(max_length=255, blank=True)
    code = models.CharField(max_length=32)
    message = models.TextField()
    value = models.TextField(null=True, blank=True)  # noqa: DJ001 - null: there was none; "": it was blank
    raw = models.BinaryField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner", "record", "position"], name="ingestion_reject_once"),
        ]

    def __str__(self) -> str:
        return f"record {self.record}: {self.code}"


class Disagreement(models.Model):
    """
    A value that lost against an earlier record of the same user, item or order. `records` counts the records of the
    chunk that said so; a chunk lists at most `disagreements.LISTED_PER_CHUNK` of them but counts all (`facts`).
    """

    owner = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="disagreements", db_column="import_id")
    chunk = models.PositiveIntegerField()
    entity = models.CharField(max_length=8)
    key = models.CharField(max_length=128)
    field = models.CharField(max_length=32)
    kept = models.TextField(blank=True)
    seen = models.TextField(blank=True)
    first_record = models.BigIntegerField()
    records = models.PositiveIntegerField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["owner", "chunk"], name="ingestion_disagreement_chunk")]

    def __str__(self) -> str:
        return f"{self.entity} {self.key}: {self.field}"


class OrderSeen(models.Model):
    """
    An order of another import that a chunk of this one compared and left unchanged. A later chunk with more
    records of the same order must not compare its header again. Emptied when the import ends.
    """

    pk = models.CompositePrimaryKey("owner_id", "order_id")
    owner = models.ForeignKey(Import, on_delete=models.CASCADE, db_column="import_id", db_index=False)
    order_id = models.CharField(max_length=128, db_collation="C")

    def __str__(self) -> str:
        return self.order_id


class BadOrder(models.Model):
    """
    An order with a rejected record, known before anything merges: only under `partial_orders = "reject"`.
    Emptied when the import ends.
    """

    pk = models.CompositePrimaryKey("owner_id", "order_id")
    owner = models.ForeignKey(Import, on_delete=models.CASCADE, db_column="import_id", db_index=False)
    order_id = models.CharField(max_length=128, db_collation="C")

    def __str__(self) -> str:
        return self.order_id
