"""Where the events of an order lie that was told under another user before. Changes the catalogue only, no row."""

from django.db import migrations

import config.kernel.fields


class Migration(migrations.Migration):
    dependencies = [("orders", "0004_find_orders_by_time")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.AddField(
            "order",
            "partition_key",
            config.kernel.fields.TextKeyField(blank=True, db_collation="C", editable=False, max_length=128, null=True),
        ),
    ]
