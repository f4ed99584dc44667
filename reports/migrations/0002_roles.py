"""Who sees the pages of reports in the admin, and sums of items; the other reports follow `orders.view_order`."""

from typing import Any

from django.db import migrations

MODELS = ("daysum", "itemsum", "historyentry", "consumption")
ROLES = {"admin": MODELS, "account-manager": ("daysum", "itemsum", "historyentry")}
VERBOSE = {"daysum": "day", "itemsum": "item sum", "historyentry": "event", "consumption": "consumed partition"}


def add_permissions(apps: Any, _schema_editor: Any) -> None:
    types, permissions = apps.get_model("contenttypes", "ContentType"), apps.get_model("auth", "Permission")
    for slug, models in ROLES.items():
        role = apps.get_model("accounts", "Role").objects.filter(slug=slug).first()
        for model in models if role else ():
            content_type, _ = types.objects.get_or_create(app_label="reports", model=model)
            permission, _ = permissions.objects.get_or_create(
                content_type=content_type, codename=f"view_{model}", defaults={"name": f"Can view {VERBOSE[model]}"}
            )
            role.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [
        ("reports", "0001_initial"),
        ("accounts", "0005_roles"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(add_permissions, migrations.RunPython.noop)]
