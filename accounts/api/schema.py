"""Parts of the OpenAPI schema that several views of accounts need."""

from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter

IF_MATCH: Final = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="The ETag of what you have read.", required=False
)
IF_NONE_MATCH: Final = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="An ETag that you have; 304 if it still holds."
)
IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description="With the same key a repeated request gets the first one's answer, for a day.",
)
ETAG: Final = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 201, 304], description='The version, such as "3".'
)
LOCATION: Final = OpenApiParameter(
    "Location", OpenApiTypes.URI_REF, OpenApiParameter.HEADER, response=[201], description="Where it is now."
)
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
