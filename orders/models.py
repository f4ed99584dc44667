"""Items, orders and order lines."""

from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now

from accounts.models import User
from config.kernel.fields import TextKeyField, text_key_check
from orders import states


class Item(models.Model):
    """What is sold. Retired, never deleted (a trigger forbids it)."""

    sku = TextKeyField(primary_key=True)
    name = models.CharField(max_length=255, blank=True)
    list_price = models.DecimalField(max_digits=18, decimal_places=4, null=True, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    import_id = models.BigIntegerField(null=True, blank=True, editable=False)
    import_chunk = models.IntegerField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [text_key_check("sku", name="orders_item_sku_valid")]

    def __str__(self) -> str:
        return self.name or self.sku


class Order(models.Model):
    """
    One order of one user (or of a guest). Cancelled, never deleted (a trigger forbids it).

    Lineage: `import_id`, `import_chunk` and `import_record` (1-based number of the order's first record in that
    import) are plain integers; `import_version` is the version at which that import left the order, so
    `version > import_version` means that somebody changed it since.

    `partition_key` is what its events are keyed by, once the order was told under another user than it has now: null
    for nearly all (see `orders_span_touch` in ingestion/sql/merge.sql).
    """

    id = TextKeyField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, db_index=False)
    status = models.CharField(max_length=16, choices=[(state, state) for state in states.ALL], default=states.PLACED)
    ordered_at = models.DateTimeField(null=True, blank=True)
    country = models.CharField(max_length=64, blank=True)
    currency = models.CharField(max_length=3, blank=True)
    version = models.PositiveIntegerField(default=1)
    import_version = models.PositiveIntegerField(null=True, blank=True, editable=False)
    import_id = models.BigIntegerField(null=True, blank=True, editable=False)
    import_chunk = models.IntegerField(null=True, blank=True, editable=False)
    import_record = models.BigIntegerField(null=True, blank=True, editable=False)
    partition_key = TextKeyField(null=True, blank=True, editable=False)
    attributes = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            text_key_check("id", name="orders_order_id_valid"),
            models.CheckConstraint(condition=models.Q(status__in=states.ALL), name="orders_order_status_known"),
            models.CheckConstraint(condition=models.Q(version__gte=1), name="orders_order_version_positive"),
            models.CheckConstraint(
                condition=models.Q(currency="") | models.Q(currency__regex="^[A-Z]{3}$"),
                name="orders_order_currency_iso4217",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user"], name="orders_order_user"),
            # Rows of one import lie together, so a block-range index finds them at next to no cost.
            BrinIndex(fields=["import_id"], name="orders_order_import", pages_per_range=32),
            # Rows come in the order of these, more or less. A B-tree would cost a load ten times as much (ADR 17).
            BrinIndex(fields=["created_at"], name="orders_order_created", pages_per_range=32),
            BrinIndex(fields=["ordered_at"], name="orders_order_ordered", pages_per_range=32),
        ]

    def __str__(self) -> str:
        return str(self.id)


class OrderLine(models.Model):
    """
    One line of an order; (order, line_no) is the key.

    For an imported line `line_no` is the mapped column, or the import's line base plus the record number. `record`
    (1-based number of the record in its import) is kept only for a mapped `line_no`: otherwise it follows from it.
    """

    pk = models.CompositePrimaryKey("order", "line_no")
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="lines", db_index=False)
    line_no = models.BigIntegerField()
    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="+", db_index=False)
    quantity = models.IntegerField()
    unit_price = models.DecimalField(max_digits=18, decimal_places=4, null=True, blank=True)
    import_id = models.BigIntegerField(null=True, blank=True, editable=False)
    record = models.BigIntegerField(null=True, blank=True, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=~models.Q(quantity=0), name="orders_orderline_quantity_not_zero"),
        ]
        indexes: ClassVar = [
            BrinIndex(fields=["import_id"], name="orders_orderline_import", pages_per_range=32),
        ]

    def __str__(self) -> str:
        return f"{self.order_id}/{self.line_no}"
