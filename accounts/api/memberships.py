"""What a user has: a password, roles, regions."""

from typing import Any, ClassVar

from django.contrib.auth import update_session_auth_hash
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import services
from accounts.api.answers import valid
from accounts.api.schema import REGION_EXAMPLE
from accounts.api.serializers import (
    PasswordSerializer,
    RegionSerializer,
    RegionToAssignSerializer,
    RoleGivenSerializer,
    RoleToGiveSerializer,
)
from accounts.api.users import CHANGE_USER, visible_user
from accounts.authentication import signed_in
from accounts.documents import describe_region
from accounts.errors import RegionNotFoundError, RoleNotFoundError, UnknownRegionError, UnknownRoleError
from accounts.models import Region, RoleMembership
from config.kernel.api.keys import key_url
from config.kernel.api.pagination import KeysetPagination
from config.kernel.api.permissions import SIGNED_IN
from config.kernel.api.queries import checked_query
from config.kernel.api.schema import LOCATION, problem_responses

GIVEN = OpenApiExample(
    "role",
    value={
        "role": "account-manager",
        "name": "Account manager",
        "import_id": None,
        "created_at": "2026-11-25T09:00:00Z",
    },
    response_only=True,
)


@extend_schema_view(
    put=extend_schema(
        operation_id="users_password",
        summary="Set a password",
        description=(
            "One's own, with the present one beside it, or, with the permission to change users, somebody else's. "
            "Sessions of that user end, tokens stay."
        ),
        request=PasswordSerializer,
        responses={204: None, **problem_responses(400, 404, 415)},
        examples=[OpenApiExample("password", value={"password": "correct horse battery staple"}, request_only=True)],
    )
)
@extend_schema(tags=["users"])
class PasswordView(APIView):
    """`/users/{id}/password`."""

    permissions: ClassVar = {"PUT": SIGNED_IN}

    def put(self, request: Request, id: str) -> Response:
        actor = signed_in(request)
        if actor.pk != id and not actor.has_perm(CHANGE_USER):
            raise PermissionDenied("None of your roles grants this.")
        given = valid(PasswordSerializer, request.data)
        if actor.pk == id:
            self._change_own(request, given)
        else:
            services.password_set(user_id=id, password=given["password"], actor=actor, now=timezone.now())
        return Response(status=204)

    def _change_own(self, request: Request, given: dict[str, Any]) -> None:
        if "current_password" not in given:
            raise ValidationError({"current_password": ["It is needed to change one's own password."]}, code="required")
        user = services.password_change(
            user_id=signed_in(request).pk,
            current=given["current_password"],
            password=given["password"],
            now=timezone.now(),
        )
        if request.auth is None:
            update_session_auth_hash(request._request, user)


@extend_schema_view(
    get=extend_schema(
        operation_id="users_roles_list",
        summary="List a user's roles",
        responses={200: RoleGivenSerializer(many=True), **problem_responses(400, 404)},
        examples=[GIVEN],
    ),
    post=extend_schema(
        operation_id="users_roles_create",
        summary="Give a user a role",
        description="200 if the user has it already. Nobody gives what they do not have themselves.",
        request=RoleToGiveSerializer,
        parameters=[LOCATION],
        responses={201: RoleGivenSerializer, 200: RoleGivenSerializer, **problem_responses(400, 404, 415)},
        examples=[OpenApiExample("role to give", value={"role": "account-manager"}, request_only=True), GIVEN],
    ),
)
@extend_schema(tags=["users"])
class UserRolesView(APIView):
    """`/users/{id}/roles`."""

    permissions: ClassVar = {"GET": SIGNED_IN, "POST": CHANGE_USER}
    pagination_class = KeysetPagination
    orderings: ClassVar = {"created": ("id",)}

    def get(self, request: Request, id: str) -> Response:
        checked_query(request)
        memberships = visible_user(signed_in(request), id).memberships.select_related("role")
        paginator = KeysetPagination()
        page = paginator.paginate_queryset(memberships, request, view=self)
        return paginator.get_paginated_response([describe_membership(each) for each in page])

    def post(self, request: Request, id: str) -> Response:
        slug = valid(RoleToGiveSerializer, request.data)["role"]
        made = services.role_assign(user_id=id, slug=slug, actor=signed_in(request))
        location = f"{key_url('/users', id)}/roles/{slug}"
        status = 201 if made else 200
        return Response(describe_membership(membership(id, slug)), status=status, headers={"Location": location})


@extend_schema_view(
    get=extend_schema(
        operation_id="users_roles_retrieve",
        summary="Read whether a user has a role",
        responses={200: RoleGivenSerializer, **problem_responses(404)},
        examples=[GIVEN],
    ),
    put=extend_schema(
        operation_id="users_roles_assign",
        summary="Give a user a role, once",
        request=None,
        responses={200: RoleGivenSerializer, 201: RoleGivenSerializer, **problem_responses(404)},
        examples=[GIVEN],
    ),
    delete=extend_schema(
        operation_id="users_roles_revoke",
        summary="Take a role from a user",
        description="Holds at once, everywhere. Also 204 if the user does not have it.",
        responses={204: None, **problem_responses(404)},
    ),
)
@extend_schema(tags=["users"])
class UserRoleView(APIView):
    """`/users/{id}/roles/{slug}`."""

    permissions: ClassVar = {"GET": SIGNED_IN, "PUT": CHANGE_USER, "DELETE": CHANGE_USER}

    def get(self, request: Request, id: str, slug: str) -> Response:
        visible_user(signed_in(request), id)
        return Response(describe_membership(membership(id, slug)))

    def put(self, request: Request, id: str, slug: str) -> Response:
        try:
            made = services.role_assign(user_id=id, slug=slug, actor=signed_in(request))
        except UnknownRoleError as error:
            raise RoleNotFoundError(slug=slug) from error
        return Response(describe_membership(membership(id, slug)), status=201 if made else 200)

    def delete(self, request: Request, id: str, slug: str) -> Response:
        services.role_revoke(user_id=id, slug=slug, actor=signed_in(request))
        return Response(status=204)


@extend_schema_view(
    get=extend_schema(
        operation_id="users_regions_list",
        summary="List a user's regions",
        responses={200: RegionSerializer(many=True), **problem_responses(400, 404)},
        examples=[REGION_EXAMPLE],
    ),
    post=extend_schema(
        operation_id="users_regions_create",
        summary="Assign a region to a user",
        description="200 if it is assigned already.",
        request=RegionToAssignSerializer,
        parameters=[LOCATION],
        responses={201: RegionSerializer, 200: RegionSerializer, **problem_responses(400, 404, 415)},
        examples=[OpenApiExample("region to assign", value={"region": "north"}, request_only=True), REGION_EXAMPLE],
    ),
)
@extend_schema(tags=["users"])
class UserRegionsView(APIView):
    """`/users/{id}/regions`."""

    permissions: ClassVar = {"GET": SIGNED_IN, "POST": CHANGE_USER}
    pagination_class = KeysetPagination
    orderings: ClassVar = {"slug": ("slug",)}

    def get(self, request: Request, id: str) -> Response:
        checked_query(request)
        regions = visible_user(signed_in(request), id).regions.all()
        paginator = KeysetPagination()
        page = paginator.paginate_queryset(regions, request, view=self)
        return paginator.get_paginated_response([describe_region(each) for each in page])

    def post(self, request: Request, id: str) -> Response:
        slug = valid(RegionToAssignSerializer, request.data)["region"]
        made = services.region_assign(user_id=id, slug=slug, actor=signed_in(request))
        location = f"{key_url('/users', id)}/regions/{slug}"
        document = describe_region(Region.objects.get(slug=slug))
        return Response(document, status=201 if made else 200, headers={"Location": location})


@extend_schema_view(
    get=extend_schema(
        operation_id="users_regions_retrieve",
        summary="Read whether a region is assigned to a user",
        responses={200: RegionSerializer, **problem_responses(404)},
        examples=[REGION_EXAMPLE],
    ),
    put=extend_schema(
        operation_id="users_regions_assign",
        summary="Assign a region to a user, once",
        request=None,
        responses={200: RegionSerializer, 201: RegionSerializer, **problem_responses(404)},
        examples=[REGION_EXAMPLE],
    ),
    delete=extend_schema(
        operation_id="users_regions_take",
        summary="Take a region from a user",
        description="Holds at once, everywhere. Also 204 if it was not assigned.",
        responses={204: None, **problem_responses(404)},
    ),
)
@extend_schema(tags=["users"])
class UserRegionView(APIView):
    """`/users/{id}/regions/{slug}`."""

    permissions: ClassVar = {"GET": SIGNED_IN, "PUT": CHANGE_USER, "DELETE": CHANGE_USER}

    def get(self, request: Request, id: str, slug: str) -> Response:
        region = visible_user(signed_in(request), id).regions.filter(slug=slug).first()
        if region is None:
            raise RegionNotFoundError(slug=slug)
        return Response(describe_region(region))

    def put(self, request: Request, id: str, slug: str) -> Response:
        try:
            made = services.region_assign(user_id=id, slug=slug, actor=signed_in(request))
        except UnknownRegionError as error:
            raise RegionNotFoundError(slug=slug) from error
        return Response(describe_region(Region.objects.get(slug=slug)), status=201 if made else 200)

    def delete(self, request: Request, id: str, slug: str) -> Response:
        services.region_take(user_id=id, slug=slug, actor=signed_in(request))
        return Response(status=204)


def membership(user_id: str, slug: str) -> RoleMembership:
    """Raises RoleNotFoundError."""
    found = RoleMembership.objects.filter(user=user_id, role__slug=slug).select_related("role").first()
    if found is None:
        raise RoleNotFoundError(slug=slug)
    return found


def describe_membership(membership: RoleMembership) -> dict[str, Any]:
    """A role that a user has."""
    return {
        "role": membership.role.slug,
        "name": membership.role.name,
        "import_id": membership.import_id,
        "created_at": membership.created_at,
    }
