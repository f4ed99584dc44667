"""
The roles that Sluice comes with.

The rows of permissions are made here when Django's own step after `migrate` has not made them yet. Running backwards
keeps the roles: people may hold them.
"""

from typing import Any

from django.db import migrations

# Model → actions. docs/permissions.md has the same as a table; a test compares them.
USERS = {"accounts.user": "view add change delete", "accounts.role": "view", "accounts.region": "view"}
ORDERS = {"orders.order": "view add change", "orders.item": "view add change"}
IMPORTS = {"ingestion.upload": "add", "ingestion.import": "add", "ingestion.storedprofile": "view"}
ROLES = {
    "admin": (
        "Administrator",
        {
            **dict.fromkeys(("accounts.user", "accounts.role", "accounts.region"), "view add change delete"),
            **ORDERS,
            "ingestion.upload": "view add change delete",
            "ingestion.import": "view add change delete",
            "ingestion.storedprofile": "view add change delete",
        },
    ),
    "account-manager": ("Account manager", {**USERS, **ORDERS}),
    "regional-manager": (
        "Regional manager",
        {"accounts.user": "view", "accounts.region": "view", "orders.order": "view change", "orders.item": "view"},
    ),
    "integrator": ("Integrator", {**IMPORTS, "orders.order": "view add", "orders.item": "view"}),
}
REGIONAL = {"regional-manager"}


def add_roles(apps: Any, _schema_editor: Any) -> None:
    role_model = apps.get_model("accounts", "Role")
    for slug, (name, granted) in ROLES.items():
        role, made = role_model.objects.get_or_create(
            slug=slug, defaults={"name": name, "is_regional": slug in REGIONAL}
        )
        if made:
            role.permissions.set(
                permission(apps, model, action) for model, actions in granted.items() for action in actions.split()
            )


def permission(apps: Any, model: str, action: str) -> Any:
    app_label, _, name = model.partition(".")
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label=app_label, model=name
    )
    verbose = {"storedprofile": "stored profile"}.get(name, name)
    found, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type, codename=f"{action}_{name}", defaults={"name": f"Can {action} {verbose}"}
    )
    return found


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_find_users"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(add_roles, migrations.RunPython.noop)]
