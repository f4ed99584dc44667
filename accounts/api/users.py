"""/users and what lies below."""

from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import selectors, services
from accounts.api.answers import described, expected, rendered, valid
from accounts.api.schema import USER_EXAMPLE
from accounts.api.serializers import (
    UserChangeSerializer,
    UserCreateSerializer,
    UserFilterSerializer,
    UserReplaceSerializer,
    UserSerializer,
)
from accounts.authentication import TokenAuthentication, signed_in
from accounts.caching import USER, load_user, parse
from accounts.documents import describe_user, described_users
from accounts.errors import UserNotFoundError
from accounts.models import User
from accounts.powers import reaches
from accounts.selectors import VIEW_USERS
from config.kernel.api.idempotency import once
from config.kernel.api.keys import key_url
from config.kernel.api.pagination import KeysetPagination
from config.kernel.api.permissions import SIGNED_IN
from config.kernel.api.queries import checked_query
from config.kernel.api.schema import ETAG, IDEMPOTENCY, IF_MATCH, IF_NONE_MATCH, LOCATION, problem_responses
from config.kernel.caching import VALUE, cache_key, fill, read_many

ORDERINGS: Final[dict[str, tuple[str, ...]]] = {
    "id": ("id",),
    "-id": ("-id",),
    "name": ("name_key", "id"),
    "-name": ("-name_key", "-id"),
    "email": ("email",),
    "-email": ("-email",),
}
CHANGE_USER: Final = "accounts.change_user"


@extend_schema_view(
    get=extend_schema(
        operation_id="users_list",
        summary="List users",
        description=(
            "By name, only users that have one are listed; by e-mail likewise. With the filter `name` the order is by "
            "name, unless another is asked for. Who is limited to regions sees the users of their countries."
        ),
        parameters=[UserFilterSerializer],
        responses={200: UserSerializer(many=True), **problem_responses(400)},
        examples=[USER_EXAMPLE],
        tags=["users"],
    ),
    post=extend_schema(
        operation_id="users_create",
        summary="Create a user",
        parameters=[*IDEMPOTENCY, ETAG, LOCATION],
        request=UserCreateSerializer,
        responses={201: UserSerializer, **problem_responses(400, 409, 415, 422)},
        examples=[
            OpenApiExample(
                "a user", value={"id": "u101", "name": "Shoes", "email": "john@gmail.com"}, request_only=True
            ),
            USER_EXAMPLE,
        ],
        tags=["users"],
    ),
)
class UsersView(APIView):
    """`/users`."""

    permissions: ClassVar = {"GET": VIEW_USERS, "POST": "accounts.add_user"}
    pagination_class = KeysetPagination

    @property
    def orderings(self) -> dict[str, tuple[str, ...]]:
        """The first is the default: by name when names are looked for, so that an index finds them."""
        request: Request | None = getattr(self, "request", None)
        if request is not None and "name" in getattr(request, "query_params", {}):
            return {"name": ORDERINGS["name"], **ORDERINGS}
        return ORDERINGS

    def get(self, request: Request) -> Response:
        user = signed_in(request)
        self._filters = checked_query(request, UserFilterSerializer)
        self._limited = selectors.visible_countries(user, permission=VIEW_USERS) is not None
        ordering = request.query_params.get("ordering", next(iter(self.orderings)))
        users = selectors.users_filtered(selectors.users_visible(user), self._filters)
        paginator = KeysetPagination()
        page = paginator.paginate_queryset(selectors.users_ordered(users, ordering), request, view=self)
        return paginator.get_paginated_response([describe_user(each) for each in page])

    def walked(self, ordering: str) -> "QuerySet[User] | None":
        """For the pagination: the rows to look through where no index fits the filters."""
        return selectors.users_to_walk(self._filters, limited=self._limited, ordering=ordering)

    def post(self, request: Request) -> Response:
        return once(request, lambda: self._create(request))

    def _create(self, request: Request) -> Response:
        actor, given = signed_in(request), valid(UserCreateSerializer, request.data)
        user_id, password = given.pop("id", None), given.pop("password", None)
        if password is not None and not actor.has_perm(CHANGE_USER):
            raise PermissionDenied("Who sets a password needs the permission to change users.")
        user = services.user_create(
            attributes=given, user_id=user_id, password=password, actor=actor, now=timezone.now()
        )
        return described(describe_user(user), status=201, location=key_url("/users", user.pk))


@extend_schema_view(
    get=extend_schema(
        operation_id="users_retrieve",
        summary="Read a user",
        description="One's own is open to everybody who is signed in.",
        parameters=[IF_NONE_MATCH, ETAG],
        responses={200: UserSerializer, 304: None, **problem_responses(404)},
        examples=[USER_EXAMPLE],
    ),
    put=extend_schema(
        operation_id="users_replace",
        summary="Replace a user's attributes",
        parameters=[IF_MATCH, ETAG],
        request=UserReplaceSerializer,
        responses={200: UserSerializer, **problem_responses(400, 404, 412, 415, 428)},
        examples=[
            OpenApiExample(
                "all of a user",
                value={"name": "Shoes", "email": "john@gmail.com", "age": 44, "country": "Norway"},
                request_only=True,
            ),
            USER_EXAMPLE,
        ],
    ),
    patch=extend_schema(
        operation_id="users_change",
        summary="Change some attributes of a user",
        parameters=[IF_MATCH, ETAG],
        request=UserChangeSerializer,
        responses={200: UserSerializer, **problem_responses(400, 404, 412, 415, 428)},
        examples=[OpenApiExample("country", value={"country": "Norway"}, request_only=True), USER_EXAMPLE],
    ),
    delete=extend_schema(
        operation_id="users_delete",
        summary="Delete a user who has no orders",
        description="Somebody who has orders, imports or uploads cannot be deleted (409), only deactivated.",
        parameters=[IF_MATCH],
        responses={204: None, **problem_responses(404, 409, 412, 428)},
    ),
)
@extend_schema(tags=["users"])
class UserView(APIView):
    """`/users/{id}`."""

    permissions: ClassVar = {
        "GET": SIGNED_IN,
        "PUT": CHANGE_USER,
        "PATCH": CHANGE_USER,
        "DELETE": "accounts.delete_user",
    }

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Reads the user's entry in the round trip that tells who asks."""
        self._by_token = TokenAuthentication([cache_key(USER, self.kwargs.get("id", ""))])
        return [self._by_token, SessionAuthentication()]

    def get(self, request: Request, id: str) -> HttpResponse:
        require_sight(signed_in(request), id)
        key = cache_key(USER, id)
        (entry,) = self._by_token.entries or read_many([key])
        known = entry is not None and entry.startswith(VALUE)
        value = entry[len(VALUE) :] if known and entry else fill(key, entry, lambda: load_user(id))
        found = None if value is None else parse(value)
        if found is None or not sees(signed_in(request), id, country=found.country):
            raise UserNotFoundError(user_id=id)
        return rendered(request, found)

    def put(self, request: Request, id: str) -> Response:
        return self._update(request, id, valid(UserReplaceSerializer, request.data))

    def patch(self, request: Request, id: str) -> Response:
        return self._update(request, id, valid(UserChangeSerializer, request.data))

    def delete(self, request: Request, id: str) -> Response:
        services.user_delete(user_id=id, actor=signed_in(request), expect=expected(request))
        return Response(status=204)

    def _update(self, request: Request, user_id: str, attributes: dict[str, Any]) -> Response:
        services.user_update(
            user_id=user_id,
            attributes=attributes,
            actor=signed_in(request),
            expect=expected(request),
            now=timezone.now(),
        )
        return described(describe_user(described_users().get(pk=user_id)))


def require_sight(actor: User, user_id: str) -> None:
    """Refuse people who may see nobody but themselves."""
    if actor.pk != user_id and not actor.has_perm(VIEW_USERS):
        raise PermissionDenied("None of your roles grants this.")


def sees(actor: User, user_id: str, *, country: str) -> bool:
    """Whether somebody who passed `require_sight` sees a user of this country."""
    return actor.pk == user_id or reaches(actor, country, permission=VIEW_USERS)


def visible_user(actor: User, user_id: str) -> User:
    """A user that somebody may see. Raises PermissionDenied, UserNotFoundError."""
    require_sight(actor, user_id)
    user = User.objects.filter(pk=user_id).first()
    if user is None or not sees(actor, user_id, country=user.country):
        raise UserNotFoundError(user_id=user_id)
    return user
