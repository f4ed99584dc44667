"""
What the events of orders add up to, and where each event was read.

Everything here can be made again from the orders themselves (`manage.py rebuild_reports`); the history of events only
from a topic that is kept for ever. Nothing refers to rows of other apps: events may come before or after them.
"""

from typing import ClassVar

from django.db import models

from config.kernel.fields import TextKeyField

TYPE_LENGTH = 64
COUNTRY_LENGTH = 64


class OrderState(models.Model):
    """
    The newest version of an order that was read, and what it adds to the sums: what has to be taken from them again
    when the next version comes.

    `items`: `[[sku, quantity, revenue in ten-thousandths], …]`, by sku, each sku once.
    """

    order_id = TextKeyField(primary_key=True)
    version = models.PositiveIntegerField()
    day = models.DateField()
    country = TextKeyField(max_length=COUNTRY_LENGTH)
    currency = TextKeyField(max_length=3)
    user_id = TextKeyField(null=True)
    cancelled = models.BooleanField()
    items = models.JSONField()

    class Meta:
        db_table = "reports_order"

    def __str__(self) -> str:
        return f"{self.order_id} version {self.version}"


class Sums(models.Model):
    """
    Sums of orders of one day (in UTC) and currency.

    `orders`, `quantity` and `revenue` leave cancelled orders out; `cancelled` counts these. `revenue` is of lines with
    a price. A row of zeros is what orders left that were moved elsewhere.
    """

    day = models.DateField()
    currency = TextKeyField(max_length=3)
    orders = models.BigIntegerField()
    cancelled = models.BigIntegerField()
    quantity = models.BigIntegerField()
    revenue = models.DecimalField(max_digits=38, decimal_places=4)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.day} {self.currency}"


class DaySum(Sums):
    """All orders of a day."""

    class Meta:
        db_table = "reports_day"
        constraints: ClassVar = [models.UniqueConstraint(fields=["day", "currency"], name="reports_day_once")]
        verbose_name = "day"
        verbose_name_plural = "sales"


class CountrySum(Sums):
    """Those of one country."""

    pk = models.CompositePrimaryKey("country", "currency", "day")
    country = TextKeyField(max_length=COUNTRY_LENGTH)

    class Meta:
        db_table = "reports_country"


class UserSum(Sums):
    """Those of one user, by the orders' countries. Orders of guests are in none of these."""

    pk = models.CompositePrimaryKey("user_id", "currency", "day", "country")
    user_id = TextKeyField()
    country = TextKeyField(max_length=COUNTRY_LENGTH)

    class Meta:
        db_table = "reports_user"


class ItemSum(Sums):
    """The lines with one item; `orders` and `cancelled` count orders that have such lines."""

    pk = models.CompositePrimaryKey("sku", "currency", "day")
    sku = TextKeyField()

    class Meta:
        db_table = "reports_item"


class HistoryEntry(models.Model):
    """
    An event of an order, and where it was read first.

    Partitioned by the day of `consumed_at`, and each order's versions are here once: whoever writes holds the row of
    the order in `reports_order`. The database has an index on (order_id, version), and no key: rows come in by
    millions, and one would have to hold the day.
    """

    event_id = models.CharField(max_length=160, primary_key=True)
    order_id = TextKeyField()
    version = models.PositiveIntegerField()
    type = models.CharField(max_length=TYPE_LENGTH)
    topic = models.CharField(max_length=249)
    partition = models.PositiveIntegerField()
    offset = models.BigIntegerField()
    consumed_at = models.DateTimeField()

    class Meta:
        db_table = "reports_history"
        verbose_name = "event"
        verbose_name_plural = "history of orders"

    def __str__(self) -> str:
        return self.event_id


class Consumption(models.Model):
    """
    How far a partition of the topic has been read, written in the transaction of what was read.

    The broker's committed offset decides where reading goes on; this one tells people. `offset` is the next one to be
    read, `end_offset` the next one to be written as last heard.
    """

    id = models.CharField(max_length=260, primary_key=True)  # topic/partition
    topic = models.CharField(max_length=249)
    partition = models.PositiveIntegerField()
    offset = models.BigIntegerField()
    end_offset = models.BigIntegerField()
    events = models.BigIntegerField()
    dead_letters = models.BigIntegerField()
    member = models.CharField(max_length=128)
    last_event_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField()

    class Meta:
        db_table = "reports_consumer"
        verbose_name = "consumed partition"

    def __str__(self) -> str:
        return self.id

    @property
    def lag(self) -> int:
        """Events that are still to be read."""
        return max(0, self.end_offset - self.offset)
