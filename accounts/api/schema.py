"""Examples in the OpenAPI schema that several views of accounts need."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

USER: Final[dict[str, Any]] = {
    "id": "u101",
    "name": "Shoes",
    "email": "john@gmail.com",
    "age": None,
    "country": "",
    "is_active": True,
    "is_staff": False,
    "is_superuser": False,
    "has_password": False,
    "roles": [],
    "regions": [],
    "version": 1,
    "import_id": None,
    "created_at": "2026-11-25T09:00:00Z",
    "updated_at": "2026-11-25T09:00:00Z",
}
ROLE: Final = {
    "slug": "regional-manager",
    "name": "Regional manager",
    "is_importable": False,
    "is_regional": True,
    "permissions": ["orders.change_order", "orders.view_order"],
    "version": 1,
    "created_at": "2026-11-25T09:00:00Z",
    "updated_at": "2026-11-25T09:00:00Z",
}
REGION: Final = {
    "slug": "north",
    "name": "North",
    "countries": ["Norway", "Sweden"],
    "version": 1,
    "created_at": "2026-11-25T09:00:00Z",
    "updated_at": "2026-11-25T09:00:00Z",
}
USER_EXAMPLE: Final = OpenApiExample("user", value=USER, response_only=True)
ROLE_EXAMPLE: Final = OpenApiExample("role", value=ROLE, response_only=True)
REGION_EXAMPLE: Final = OpenApiExample("region", value=REGION, response_only=True)
