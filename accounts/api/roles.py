"""/roles and /regions."""

from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import services
from accounts.api.answers import described, expected, rendered, valid
from accounts.api.schema import REGION_EXAMPLE, ROLE_EXAMPLE
from accounts.api.serializers import (
    RegionChangeSerializer,
    RegionCreateSerializer,
    RegionReplaceSerializer,
    RegionSerializer,
    RoleChangeSerializer,
    RoleCreateSerializer,
    RoleReplaceSerializer,
    RoleSerializer,
)
from accounts.authentication import signed_in
from accounts.caching import role_rendered
from accounts.documents import describe_region, describe_role, described_roles
from accounts.errors import RegionNotFoundError, RoleNotFoundError
from accounts.models import Region
from config.kernel.api.idempotency import once
from config.kernel.api.pagination import KeysetPagination
from config.kernel.api.queries import checked_query
from config.kernel.api.schema import ETAG, IDEMPOTENCY, IF_MATCH, IF_NONE_MATCH, LOCATION, problem_responses

NEW_ROLE = OpenApiExample(
    "a role",
    value={"slug": "order-desk", "name": "Order desk", "permissions": ["orders.view_order", "orders.add_order"]},
    request_only=True,
)
WHOLE_ROLE = OpenApiExample(
    "all of a role",
    value={
        "name": "Order desk",
        "is_importable": False,
        "is_regional": False,
        "permissions": ["orders.view_order", "orders.add_order"],
    },
    request_only=True,
)
OTHER_PERMISSIONS = OpenApiExample("other permissions", value={"permissions": ["orders.view_order"]}, request_only=True)
WHOLE_REGION = OpenApiExample(
    "all of a region", value={"name": "North", "countries": ["Norway", "Sweden"]}, request_only=True
)
OTHER_COUNTRIES = OpenApiExample("other countries", value={"countries": ["Norway"]}, request_only=True)
NEW_REGION = OpenApiExample(
    "a region", value={"slug": "north", "name": "North", "countries": ["Norway", "Sweden"]}, request_only=True
)


@extend_schema_view(
    get=extend_schema(
        operation_id="roles_list",
        summary="List roles",
        responses={200: RoleSerializer(many=True), **problem_responses(400)},
        examples=[ROLE_EXAMPLE],
    ),
    post=extend_schema(
        operation_id="roles_create",
        summary="Create a role",
        description="With permissions that one has oneself.",
        parameters=[*IDEMPOTENCY, ETAG, LOCATION],
        request=RoleCreateSerializer,
        responses={201: RoleSerializer, **problem_responses(400, 409, 415, 422)},
        examples=[NEW_ROLE, ROLE_EXAMPLE],
    ),
)
@extend_schema(tags=["roles"])
class RolesView(APIView):
    """`/roles`."""

    permissions: ClassVar = {"GET": "accounts.view_role", "POST": "accounts.add_role"}
    pagination_class = KeysetPagination
    orderings: ClassVar = {"slug": ("slug",), "-slug": ("-slug",)}

    def get(self, request: Request) -> Response:
        checked_query(request)
        paginator = KeysetPagination()
        page = paginator.paginate_queryset(described_roles(), request, view=self)
        return paginator.get_paginated_response([describe_role(each) for each in page])

    def post(self, request: Request) -> Response:
        return once(request, lambda: self._create(request))

    def _create(self, request: Request) -> Response:
        given = valid(RoleCreateSerializer, request.data)
        slug = given.pop("slug")
        services.role_create(slug=slug, attributes=given, actor=signed_in(request), now=timezone.now())
        return described(describe_role(described_roles().get(slug=slug)), status=201, location=f"/roles/{slug}")


@extend_schema_view(
    get=extend_schema(
        operation_id="roles_retrieve",
        summary="Read a role",
        parameters=[IF_NONE_MATCH, ETAG],
        responses={200: RoleSerializer, 304: None, **problem_responses(404)},
        examples=[ROLE_EXAMPLE],
    ),
    put=extend_schema(
        operation_id="roles_replace",
        summary="Replace a role",
        parameters=[IF_MATCH, ETAG],
        request=RoleReplaceSerializer,
        responses={200: RoleSerializer, **problem_responses(400, 404, 412, 415, 428)},
        examples=[WHOLE_ROLE, ROLE_EXAMPLE],
    ),
    patch=extend_schema(
        operation_id="roles_change",
        summary="Change a role",
        description="What it grants changes for everybody who has it, at once.",
        parameters=[IF_MATCH, ETAG],
        request=RoleChangeSerializer,
        responses={200: RoleSerializer, **problem_responses(400, 404, 412, 415, 428)},
        examples=[OTHER_PERMISSIONS, ROLE_EXAMPLE],
    ),
    delete=extend_schema(
        operation_id="roles_delete",
        summary="Delete a role that nobody has",
        parameters=[IF_MATCH],
        responses={204: None, **problem_responses(404, 409, 412, 428)},
    ),
)
@extend_schema(tags=["roles"])
class RoleView(APIView):
    """`/roles/{slug}`."""

    permissions: ClassVar = {
        "GET": "accounts.view_role",
        "PUT": "accounts.change_role",
        "PATCH": "accounts.change_role",
        "DELETE": "accounts.delete_role",
    }

    def get(self, request: Request, slug: str) -> HttpResponse:
        found = role_rendered(slug)
        if found is None:
            raise RoleNotFoundError(slug=slug)
        return rendered(request, found)

    def put(self, request: Request, slug: str) -> Response:
        return self._update(request, slug, valid(RoleReplaceSerializer, request.data))

    def patch(self, request: Request, slug: str) -> Response:
        return self._update(request, slug, valid(RoleChangeSerializer, request.data))

    def delete(self, request: Request, slug: str) -> Response:
        services.role_delete(slug=slug, actor=signed_in(request), expect=expected(request))
        return Response(status=204)

    def _update(self, request: Request, slug: str, attributes: dict[str, Any]) -> Response:
        actor, expect = signed_in(request), expected(request)
        services.role_update(slug=slug, attributes=attributes, actor=actor, expect=expect, now=timezone.now())
        return described(describe_role(described_roles().get(slug=slug)))


@extend_schema_view(
    get=extend_schema(
        operation_id="regions_list",
        summary="List regions",
        responses={200: RegionSerializer(many=True), **problem_responses(400)},
        examples=[REGION_EXAMPLE],
    ),
    post=extend_schema(
        operation_id="regions_create",
        summary="Create a region",
        parameters=[*IDEMPOTENCY, ETAG, LOCATION],
        request=RegionCreateSerializer,
        responses={201: RegionSerializer, **problem_responses(400, 409, 415, 422)},
        examples=[NEW_REGION, REGION_EXAMPLE],
    ),
)
@extend_schema(tags=["roles"])
class RegionsView(APIView):
    """`/regions`."""

    permissions: ClassVar = {"GET": "accounts.view_region", "POST": "accounts.add_region"}
    pagination_class = KeysetPagination
    orderings: ClassVar = {"slug": ("slug",), "-slug": ("-slug",)}

    def get(self, request: Request) -> Response:
        checked_query(request)
        paginator = KeysetPagination()
        page = paginator.paginate_queryset(Region.objects.all(), request, view=self)
        return paginator.get_paginated_response([describe_region(each) for each in page])

    def post(self, request: Request) -> Response:
        return once(request, lambda: self._create(request))

    def _create(self, request: Request) -> Response:
        given = valid(RegionCreateSerializer, request.data)
        slug = given.pop("slug")
        region = services.region_create(slug=slug, attributes=given, actor=signed_in(request), now=timezone.now())
        return described(describe_region(region), status=201, location=f"/regions/{slug}")


@extend_schema_view(
    get=extend_schema(
        operation_id="regions_retrieve",
        summary="Read a region",
        parameters=[ETAG],
        responses={200: RegionSerializer, **problem_responses(404)},
        examples=[REGION_EXAMPLE],
    ),
    put=extend_schema(
        operation_id="regions_replace",
        summary="Replace a region",
        parameters=[IF_MATCH, ETAG],
        request=RegionReplaceSerializer,
        responses={200: RegionSerializer, **problem_responses(400, 404, 412, 415, 428)},
        examples=[WHOLE_REGION, REGION_EXAMPLE],
    ),
    patch=extend_schema(
        operation_id="regions_change",
        summary="Change a region",
        description="What its managers see changes at once.",
        parameters=[IF_MATCH, ETAG],
        request=RegionChangeSerializer,
        responses={200: RegionSerializer, **problem_responses(400, 404, 412, 415, 428)},
        examples=[OTHER_COUNTRIES, REGION_EXAMPLE],
    ),
    delete=extend_schema(
        operation_id="regions_delete",
        summary="Delete a region that is assigned to nobody",
        parameters=[IF_MATCH],
        responses={204: None, **problem_responses(404, 409, 412, 428)},
    ),
)
@extend_schema(tags=["roles"])
class RegionView(APIView):
    """`/regions/{slug}`."""

    permissions: ClassVar = {
        "GET": "accounts.view_region",
        "PUT": "accounts.change_region",
        "PATCH": "accounts.change_region",
        "DELETE": "accounts.delete_region",
    }

    def get(self, request: Request, slug: str) -> Response:
        region = Region.objects.filter(slug=slug).first()
        if region is None:
            raise RegionNotFoundError(slug=slug)
        return described(describe_region(region))

    def put(self, request: Request, slug: str) -> Response:
        return self._update(request, slug, valid(RegionReplaceSerializer, request.data))

    def patch(self, request: Request, slug: str) -> Response:
        return self._update(request, slug, valid(RegionChangeSerializer, request.data))

    def delete(self, request: Request, slug: str) -> Response:
        services.region_delete(slug=slug, actor=signed_in(request), expect=expected(request))
        return Response(status=204)

    def _update(self, request: Request, slug: str, attributes: dict[str, Any]) -> Response:
        actor, expect = signed_in(request), expected(request)
        region = services.region_update(
            slug=slug, attributes=attributes, actor=actor, expect=expect, now=timezone.now()
        )
        return described(describe_region(region))
