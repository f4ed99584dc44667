"""Items are retired and orders cancelled; neither is ever deleted, and their keys never change."""

from django.db import migrations

FUNCTION = """
CREATE FUNCTION orders_never_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is not allowed: items are retired and orders are cancelled, never removed',
        TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
"""
TRIGGERS = """
CREATE TRIGGER {table}_delete BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION orders_never_deleted();
CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION orders_never_deleted();
CREATE TRIGGER {table}_change_key BEFORE UPDATE OF {key} ON {table}
    FOR EACH ROW WHEN (OLD.{key} IS DISTINCT FROM NEW.{key}) EXECUTE FUNCTION orders_never_deleted();
-- Merges run under session_replication_role = replica, which skips ordinary triggers.
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_delete;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_truncate;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_change_key;
"""
REVERSE = """
DROP TRIGGER {table}_delete ON {table};
DROP TRIGGER {table}_truncate ON {table};
DROP TRIGGER {table}_change_key ON {table};
"""
TABLES = (("orders_item", "sku"), ("orders_order", "id"))


class Migration(migrations.Migration):
    dependencies = [("orders", "0001_initial")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION orders_never_deleted()"),
        *(
            migrations.RunSQL(TRIGGERS.format(table=table, key=key), REVERSE.format(table=table, key=key))
            for table, key in TABLES
        ),
    ]
