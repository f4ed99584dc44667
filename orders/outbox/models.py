"""The outbox: what other systems are to be told, written in the transaction of the change itself."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


class Entry(models.Model):
    """
    One entry, never updated.

    kind "bulk": `payload` is a compressed list of (order id, version) of newly placed orders in file order, see
    `orders.outbox.bulk`. kind "order": one order in one version; `payload` is empty, `key` and `version` say which.
    `source` names what wrote it ("import:12/3": import 12, chunk 3).
    """

    class Kind(models.TextChoices):
        BULK = "bulk"
        ORDER = "order"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    type = models.CharField(max_length=64)
    key = models.CharField(max_length=128, blank=True)
    version = models.PositiveIntegerField(null=True)
    orders = models.PositiveIntegerField(default=1)
    payload = models.BinaryField(default=b"")
    source = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(kind__in=["bulk", "order"]), name="outbox_entry_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key or self.source}"
