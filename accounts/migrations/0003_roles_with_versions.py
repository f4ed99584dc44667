"""What the API needs of roles, regions and memberships: versions, times, regional roles, versions that follow roles."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Now

# Row by row, so that the version does not depend on how a load was cut into chunks.
VERSIONS = """
CREATE FUNCTION accounts_user_powers_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE accounts_user SET version = version + 1, updated_at = statement_timestamp()
    WHERE id = CASE TG_OP WHEN 'DELETE' THEN OLD.user_id ELSE NEW.user_id END;
    RETURN NULL;
END
$$;
CREATE TRIGGER accounts_rolemembership_version AFTER INSERT OR DELETE ON accounts_rolemembership
    FOR EACH ROW EXECUTE FUNCTION accounts_user_powers_changed();
CREATE TRIGGER accounts_user_regions_version AFTER INSERT OR DELETE ON accounts_user_regions
    FOR EACH ROW EXECUTE FUNCTION accounts_user_powers_changed();
ALTER TABLE accounts_rolemembership ENABLE ALWAYS TRIGGER accounts_rolemembership_version;
ALTER TABLE accounts_user_regions ENABLE ALWAYS TRIGGER accounts_user_regions_version;
"""
NO_VERSIONS = """
DROP TRIGGER accounts_rolemembership_version ON accounts_rolemembership;
DROP TRIGGER accounts_user_regions_version ON accounts_user_regions;
DROP FUNCTION accounts_user_powers_changed();
"""


def versioned(model: str) -> list[migrations.AddField]:
    return [
        migrations.AddField(model, "version", models.PositiveIntegerField(default=1, db_default=1)),
        migrations.AddField(model, "created_at", models.DateTimeField(auto_now_add=True, db_default=Now())),
        migrations.AddField(model, "updated_at", models.DateTimeField(auto_now=True, db_default=Now())),
    ]


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_deletion_gate")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.AddField("role", "is_regional", models.BooleanField(default=False)),
        *versioned("role"),
        *versioned("region"),
        migrations.AddIndex(
            "rolemembership", models.Index(fields=["role", "user"], name="accounts_rolemembership_role")
        ),
        migrations.AlterField(
            "rolemembership",
            "role",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="memberships",
                to="accounts.role",
            ),
        ),
        migrations.AlterField(
            "rolemembership",
            "user",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="memberships",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RunSQL(VERSIONS, NO_VERSIONS),
    ]
