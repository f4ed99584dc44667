"""Block-range indexes by which lists find orders of a time; made beside the running work."""

from django.contrib.postgres.indexes import BrinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orders", "0003_times_from_services")]

    operations = [
        AddIndexConcurrently(
            "order", BrinIndex(fields=["created_at"], name="orders_order_created", pages_per_range=32)
        ),
        AddIndexConcurrently(
            "order", BrinIndex(fields=["ordered_at"], name="orders_order_ordered", pages_per_range=32)
        ),
    ]
