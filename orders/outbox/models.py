"""
The outbox: what other systems are to be told, written in the transaction of the change itself.

How it is read is in `batches`, who reads it in `leases`; ADR 18 has the reasons.
"""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from config.kernel.fields import TextKeyField
from orders.outbox.fields import SnapshotField, TransactionIdField


class Entry(models.Model):
    """
    One entry, never updated; the table is partitioned by the UTC day of `created_at` and has a DEFAULT partition.

    kind "order": one order in one version, `payload` is the event's data (empty: written before migration 0002, to be
    expanded by key). kind "import": the end of an import, `key` is its id. kind "bulk": `payload` is a compressed list
    of (order id, version) of newly placed orders in file order, see `orders.outbox.bulk`, and `orders` says how many.

    `xid` is the transaction that wrote it; `partition_key`, `placed_at` and `time` are those of
    `orders.outbox.events.Event` (a time as text, because reading and writing it as one costs more than all the rest).
    `source` names what wrote it ("import:12/3": import 12, chunk 3).
    """

    class Kind(models.TextChoices):
        ORDER = "order"
        BULK = "bulk"
        IMPORT = "import"

    lane = models.SmallIntegerField()
    xid = TransactionIdField()
    kind = models.CharField(max_length=8, choices=Kind.choices)
    type = models.CharField(max_length=64)
    key = models.CharField(max_length=128, blank=True, db_collation="C")
    version = models.PositiveIntegerField(null=True)
    partition_key = models.CharField(max_length=128, blank=True, db_collation="C")
    placed_at = models.DateTimeField(null=True)
    time = models.CharField(max_length=32, blank=True)
    orders = models.PositiveIntegerField(default=1)
    payload = models.BinaryField(default=b"")
    source = models.CharField(max_length=64, blank=True, db_collation="C")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(kind__in=["order", "bulk", "import"]), name="outbox_entry_kind_known"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["lane", "xid", "id"], name="outbox_entry_lane_xid")]

    def __str__(self) -> str:
        return f"{self.kind} {self.key or self.source}"


class Receipt(models.Model):
    """
    Whether all events of a bulk entry were acknowledged; without `published_at` they were not.

    Receipts go together with the partition of their entry, so one that is missing was published. Who changes an order
    that a bulk entry placed looks here first (copy-on-change, ADR 18).
    """

    source = TextKeyField(max_length=64, primary_key=True)
    entry_id = models.BigIntegerField()
    lane = models.SmallIntegerField()
    orders = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now())
    published_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.source)


class Lane(models.Model):
    """
    Who relays a lane (`leases`) and how far it has got (`batches`).

    All that is visible in `position` is acknowledged. `batch`, committed before its entries are sent, is the snapshot
    up to which is sent now; of what became visible between the two, everything up to entry `after_id` is acknowledged,
    and of the next one the first `after_event` events; `until_id` is its last entry. `system_identifier` is that of the
    database cluster (`guard`), `published` counts the events ever acknowledged.
    """

    lane = models.SmallIntegerField(primary_key=True)
    owner = models.CharField(max_length=128, blank=True, default="", db_default="")
    epoch = models.BigIntegerField(default=0, db_default=0)
    leased_until = models.DateTimeField(null=True)
    system_identifier = models.BigIntegerField(null=True)
    position = SnapshotField(null=True)
    batch = SnapshotField(null=True)
    after_id = models.BigIntegerField(default=0, db_default=0)
    after_event = models.IntegerField(default=0, db_default=0)
    until_id = models.BigIntegerField(default=0, db_default=0)
    acknowledged_at = models.DateTimeField(null=True)
    published = models.BigIntegerField(default=0, db_default=0)
    halted_reason = models.TextField(blank=True, default="", db_default="")

    def __str__(self) -> str:
        return f"lane {self.lane}"


class Relay(models.Model):
    """A relay that said lately that it is there, and for which lanes: these are shared among such relays."""

    owner = TextKeyField(primary_key=True)
    lanes = ArrayField(models.SmallIntegerField())
    seen_until = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.owner)


class HaltedKey(models.Model):
    """A key whose event cannot be sent; the ones behind it wait in `HeldEvent`."""

    topic = models.CharField(max_length=249)
    key = models.CharField(max_length=128, db_collation="C")
    reason = models.TextField()
    event_id = models.CharField(max_length=160)
    halted_at = models.DateTimeField(db_default=Now())
    attempts = models.PositiveIntegerField(default=1, db_default=1)

    class Meta:
        db_table = "outbox_halted"
        constraints: ClassVar = [models.UniqueConstraint(fields=["topic", "key"], name="outbox_halted_once")]

    def __str__(self) -> str:
        return f"{self.topic} {self.key}"


class HeldEvent(models.Model):
    """An event of a halted key, whole; sent by version, when the key is released. `HaltedKey.event_id` was refused."""

    topic = models.CharField(max_length=249)
    key = models.CharField(max_length=128, db_collation="C")
    event_id = models.CharField(max_length=160)
    type = models.CharField(max_length=64)
    version = models.PositiveIntegerField(null=True)
    partition_key = models.CharField(max_length=128, db_collation="C")
    placed_at = models.DateTimeField(null=True)
    data = models.BinaryField()
    time = models.DateTimeField(null=True)
    held_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "outbox_held"
        # Sent again after a crash, an event is held once.
        constraints: ClassVar = [models.UniqueConstraint(fields=["topic", "key", "event_id"], name="outbox_held_once")]

    def __str__(self) -> str:
        return self.event_id


class Decision(models.Model):
    """What somebody decided about a held event: "released" or "dropped", and why."""

    topic = models.CharField(max_length=249)
    key = models.CharField(max_length=128, db_collation="C")
    event_id = models.CharField(max_length=160)
    decision = models.CharField(max_length=16)
    reason = models.TextField()
    by = models.CharField(max_length=128)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes: ClassVar = [models.Index(fields=["topic", "key"], name="outbox_decision_key")]

    def __str__(self) -> str:
        return f"{self.event_id} {self.decision}"


class Partitioning(models.Model):
    """
    A generation of partitions of a topic: orders placed since then are spread over so many.

    An order keeps the generation of the time at which it was made, so all its versions share one partition for ever.
    """

    topic = models.CharField(max_length=249)
    partitions = models.PositiveIntegerField()
    since = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["topic", "since"], name="outbox_partitioning_once")]

    def __str__(self) -> str:
        return f"{self.topic}: {self.partitions} since {self.since}"
