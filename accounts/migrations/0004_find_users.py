"""Indexes by which lists find users; made beside the running work."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Collate, Lower


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("accounts", "0003_roles_with_versions")]

    operations = [
        AddIndexConcurrently(
            "user",
            models.Index(
                Collate(Lower("name"), "C"),
                models.F("id"),
                condition=models.Q(("name", ""), _negated=True),
                name="accounts_user_name_id",
            ),
        ),
        AddIndexConcurrently(
            "user",
            models.Index(
                condition=models.Q(("country", ""), _negated=True),
                fields=["country", "id"],
                name="accounts_user_country_id",
            ),
        ),
    ]
