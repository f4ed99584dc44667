"""Deleting users (or changing their ids) takes the integrity gate and bumps the deletion epoch."""

from django.db import migrations

# The lock's key is ingestion.job.INTEGRITY_GATE; a test compares the two.
FUNCTION = """
CREATE FUNCTION accounts_user_leaves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1371930625);
    UPDATE accounts_deletionepoch SET epoch = epoch + 1;
    RETURN NULL;
END
$$;
INSERT INTO accounts_deletionepoch (id, epoch) VALUES (1, 0);
CREATE TRIGGER accounts_user_delete BEFORE DELETE ON accounts_user
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_user_leaves();
CREATE TRIGGER accounts_user_change_id BEFORE UPDATE OF id ON accounts_user
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_user_leaves();
CREATE TRIGGER accounts_user_truncate BEFORE TRUNCATE ON accounts_user
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_user_leaves();
-- Merges run under session_replication_role = replica, which skips ordinary triggers.
ALTER TABLE accounts_user ENABLE ALWAYS TRIGGER accounts_user_delete;
ALTER TABLE accounts_user ENABLE ALWAYS TRIGGER accounts_user_change_id;
ALTER TABLE accounts_user ENABLE ALWAYS TRIGGER accounts_user_truncate;
"""
REVERSE = """
DROP TRIGGER accounts_user_delete ON accounts_user;
DROP TRIGGER accounts_user_change_id ON accounts_user;
DROP TRIGGER accounts_user_truncate ON accounts_user;
DROP FUNCTION accounts_user_leaves();
DELETE FROM accounts_deletionepoch;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [migrations.RunSQL(FUNCTION, REVERSE)]
