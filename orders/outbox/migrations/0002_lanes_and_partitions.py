"""
The outbox as relays read it: lanes, transaction ids, partitions by day, receipts, positions.

Writers of the release before know no lanes and are refused, so stop them first: this is not to be done beside them. What
they wrote is moved over. Its order events keep an empty payload and are expanded by key.
"""

import django.contrib.postgres.fields
import django.db.models.functions.datetime
from django.db import migrations, models

import config.kernel.fields
import orders.outbox.fields

# Constraint triggers and deferrable constraints do not work under session_replication_role = replica: there are none.
ENTRY = """
ALTER TABLE outbox_entry RENAME TO outbox_entry_plain;
ALTER SEQUENCE outbox_entry_id_seq RENAME TO outbox_entry_plain_id_seq;
ALTER INDEX outbox_entry_pkey RENAME TO outbox_entry_plain_pkey;
CREATE SEQUENCE outbox_entry_id_seq CACHE 1;
CREATE TABLE outbox_entry (
    id bigint NOT NULL DEFAULT nextval('outbox_entry_id_seq'),
    lane smallint NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind varchar(8) NOT NULL CONSTRAINT outbox_entry_kind_known CHECK (kind IN ('order', 'bulk', 'import')),
    type varchar(64) NOT NULL,
    key varchar(128) COLLATE "C" NOT NULL,
    version integer CONSTRAINT outbox_entry_version_check CHECK (version >= 0),
    partition_key varchar(128) COLLATE "C" NOT NULL,
    placed_at timestamptz,
    time varchar(32) NOT NULL,
    orders integer NOT NULL CONSTRAINT outbox_entry_orders_check CHECK (orders >= 0),
    payload bytea NOT NULL,
    source varchar(64) COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- In this order it also serves reading a lane by id; a partitioned table's key must have the partition's column.
    PRIMARY KEY (lane, id, created_at)
) PARTITION BY RANGE (created_at);
ALTER SEQUENCE outbox_entry_id_seq OWNED BY outbox_entry.id;
CREATE INDEX outbox_entry_lane_xid ON outbox_entry (lane, xid, id);
CREATE TABLE outbox_entry_default PARTITION OF outbox_entry DEFAULT;
DO $$
DECLARE day date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    FOR ahead IN 0..3 LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF outbox_entry FOR VALUES FROM (%L) TO (%L)',
                       'outbox_entry_' || to_char(day + ahead, 'YYYYMMDD'),
                       (day + ahead) || ' 00:00:00+00', (day + ahead + 1) || ' 00:00:00+00');
    END LOOP;
END
$$;
"""
MOVE = """
-- The ways to a lane are those of orders/outbox/sql/append.sql.
INSERT INTO outbox_entry (id, lane, kind, type, key, version, partition_key, time, orders, payload, source, created_at)
SELECT id, CASE kind WHEN 'bulk' THEN 8 + abs(hashtext(source)::bigint) % 4 ELSE abs(hashtext(key)::bigint) % 8 END,
       kind, type, key, version, '', '', orders, payload, source, created_at
FROM outbox_entry_plain ORDER BY id;
INSERT INTO outbox_receipt (source, entry_id, lane, orders, created_at)
SELECT source, id, lane, orders, created_at FROM outbox_entry WHERE kind = 'bulk' ORDER BY id
ON CONFLICT (source) DO NOTHING;
SELECT setval('outbox_entry_id_seq', greatest(max(id), 1), max(id) IS NOT NULL) FROM outbox_entry;
DROP TABLE outbox_entry_plain;
INSERT INTO outbox_lane (lane) SELECT generate_series(0, 11);
"""


class Migration(migrations.Migration):
    dependencies = [("outbox", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Receipt",
            fields=[
                (
                    "source",
                    config.kernel.fields.TextKeyField(
                        db_collation="C", max_length=64, primary_key=True, serialize=False
                    ),
                ),
                ("entry_id", models.BigIntegerField()),
                ("lane", models.SmallIntegerField()),
                ("orders", models.PositiveIntegerField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("published_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Lane",
            fields=[
                ("lane", models.SmallIntegerField(primary_key=True, serialize=False)),
                ("owner", models.CharField(blank=True, db_default="", default="", max_length=128)),
                ("epoch", models.BigIntegerField(db_default=0, default=0)),
                ("leased_until", models.DateTimeField(null=True)),
                ("system_identifier", models.BigIntegerField(null=True)),
                ("position", orders.outbox.fields.SnapshotField(null=True)),
                ("batch", orders.outbox.fields.SnapshotField(null=True)),
                ("after_id", models.BigIntegerField(db_default=0, default=0)),
                ("after_event", models.IntegerField(db_default=0, default=0)),
                ("until_id", models.BigIntegerField(db_default=0, default=0)),
                ("acknowledged_at", models.DateTimeField(null=True)),
                ("published", models.BigIntegerField(db_default=0, default=0)),
                ("halted_reason", models.TextField(blank=True, db_default="", default="")),
            ],
        ),
        migrations.CreateModel(
            name="Relay",
            fields=[
                (
                    "owner",
                    config.kernel.fields.TextKeyField(
                        db_collation="C", max_length=128, primary_key=True, serialize=False
                    ),
                ),
                (
                    "lanes",
                    django.contrib.postgres.fields.ArrayField(base_field=models.SmallIntegerField(), size=None),
                ),
                ("seen_until", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="HaltedKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("topic", models.CharField(max_length=249)),
                ("key", models.CharField(db_collation="C", max_length=128)),
                ("reason", models.TextField()),
                ("event_id", models.CharField(max_length=160)),
                ("halted_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("attempts", models.PositiveIntegerField(db_default=1, default=1)),
            ],
            options={
                "db_table": "outbox_halted",
                "constraints": [models.UniqueConstraint(fields=("topic", "key"), name="outbox_halted_once")],
            },
        ),
        migrations.CreateModel(
            name="HeldEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("topic", models.CharField(max_length=249)),
                ("key", models.CharField(db_collation="C", max_length=128)),
                ("event_id", models.CharField(max_length=160)),
                ("type", models.CharField(max_length=64)),
                ("version", models.PositiveIntegerField(null=True)),
                ("partition_key", models.CharField(db_collation="C", max_length=128)),
                ("placed_at", models.DateTimeField(null=True)),
                ("data", models.BinaryField()),
                ("time", models.DateTimeField(null=True)),
                ("held_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "db_table": "outbox_held",
                "constraints": [models.UniqueConstraint(fields=("topic", "key", "event_id"), name="outbox_held_once")],
            },
        ),
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("topic", models.CharField(max_length=249)),
                ("key", models.CharField(db_collation="C", max_length=128)),
                ("event_id", models.CharField(max_length=160)),
                ("decision", models.CharField(max_length=16)),
                ("reason", models.TextField()),
                ("by", models.CharField(max_length=128)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "indexes": [models.Index(fields=["topic", "key"], name="outbox_decision_key")],
            },
        ),
        migrations.CreateModel(
            name="Partitioning",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("topic", models.CharField(max_length=249)),
                ("partitions", models.PositiveIntegerField()),
                ("since", models.DateTimeField()),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("topic", "since"), name="outbox_partitioning_once")],
            },
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(ENTRY + MOVE)],
            state_operations=[
                migrations.RemoveConstraint(model_name="entry", name="outbox_entry_kind_known"),
                migrations.AddField("entry", "lane", models.SmallIntegerField(default=0), preserve_default=False),
                migrations.AddField(
                    "entry", "xid", orders.outbox.fields.TransactionIdField(default=0), preserve_default=False
                ),
                migrations.AddField(
                    "entry", "partition_key", models.CharField(blank=True, db_collation="C", max_length=128)
                ),
                migrations.AddField("entry", "placed_at", models.DateTimeField(null=True)),
                migrations.AddField("entry", "time", models.CharField(blank=True, max_length=32)),
                migrations.AlterField("entry", "key", models.CharField(blank=True, db_collation="C", max_length=128)),
                migrations.AlterField(
                    "entry",
                    "kind",
                    models.CharField(
                        choices=[("order", "Order"), ("bulk", "Bulk"), ("import", "Import")], max_length=8
                    ),
                ),
                migrations.AlterField("entry", "source", models.CharField(blank=True, db_collation="C", max_length=64)),
                migrations.AddIndex("entry", models.Index(fields=["lane", "xid", "id"], name="outbox_entry_lane_xid")),
                migrations.AddConstraint(
                    "entry",
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["order", "bulk", "import"])), name="outbox_entry_kind_known"
                    ),
                ),
            ],
        ),
    ]
