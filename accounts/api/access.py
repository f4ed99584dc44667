"""/tokens for programs, /session for people."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware, get_token
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from knox.models import AuthToken
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import services
from accounts.api.answers import valid
from accounts.api.schema import USER
from accounts.api.serializers import (
    SignInSerializer,
    TokenCreateSerializer,
    TokenMadeSerializer,
    TokenOwnerSerializer,
    TokenSerializer,
    WhoAmISerializer,
)
from accounts.api.users import CHANGE_USER
from accounts.authentication import signed_in
from accounts.documents import describe_user, described_users
from accounts.errors import InvalidCredentialsError, UserNotFoundError
from accounts.identities import Identity
from accounts.logins import LoginParser, LoginThrottle
from accounts.models import User
from accounts.powers import require_power_over, require_reach
from accounts.selectors import visible_countries
from config.kernel.api.pagination import KeysetPagination
from config.kernel.api.permissions import PUBLIC, SIGNED_IN
from config.kernel.api.queries import checked_query
from config.kernel.api.schema import LOCATION, problem_responses

TOKEN = {
    "key": "0123456789abcde",
    "user_id": "u101",
    "created_at": "2026-11-25T09:00:00Z",
    "expires_at": "2026-12-25T09:00:00Z",
    "is_current": False,
}
TOKEN_EXAMPLE = OpenApiExample("token", value=TOKEN, response_only=True)
MADE_EXAMPLE = OpenApiExample("new token", value={**TOKEN, "token": "0123456789abcdef…"}, response_only=True)
WHO_EXAMPLE = OpenApiExample(
    "who am I",
    value={
        "user": USER,
        "kind": "token",
        "permissions": ["orders.view_order"],
        "countries": None,
        "expires_at": "2026-12-25T09:00:00Z",
        "csrf_token": None,
    },
    response_only=True,
)


@extend_schema_view(
    get=extend_schema(
        operation_id="tokens_list",
        summary="List tokens",
        parameters=[TokenOwnerSerializer],
        responses={200: TokenSerializer(many=True), **problem_responses(400, 404)},
        examples=[TOKEN_EXAMPLE],
    ),
    post=extend_schema(
        operation_id="tokens_create",
        summary="Create a token",
        description="The token is shown this once; only its digest is stored. Therefore no Idempotency-Key is read.",
        request=TokenCreateSerializer,
        parameters=[LOCATION],
        responses={201: TokenMadeSerializer, **problem_responses(400, 404, 409, 415)},
        examples=[OpenApiExample("for a day", value={"ttl_hours": 24}, request_only=True), MADE_EXAMPLE],
    ),
)
@extend_schema(tags=["tokens"])
class TokensView(APIView):
    """`/tokens`."""

    permissions: ClassVar = {"GET": SIGNED_IN, "POST": SIGNED_IN}
    pagination_class = KeysetPagination
    orderings: ClassVar = {"-created_at": ("-created", "-digest"), "created_at": ("created", "digest")}

    def get(self, request: Request) -> Response:
        tokens = AuthToken.objects.filter(user=owner_of(request, paged=True))
        paginator = KeysetPagination()
        page = paginator.paginate_queryset(tokens, request, view=self)
        return paginator.get_paginated_response([describe_token(each, request) for each in page])

    def post(self, request: Request) -> Response:
        actor, given = signed_in(request), valid(TokenCreateSerializer, request.data)
        owner = owner_named(actor, given.get("user_id", actor.pk))
        ttl = timedelta(hours=given.get("ttl_hours", settings.TOKEN_TTL_HOURS))
        row, token = services.token_create(user=owner, ttl=ttl, now=timezone.now(), actor=actor)
        document = {**describe_token(row, request), "token": token}
        headers = {"Location": f"/tokens/{row.token_key}", "Cache-Control": "no-store"}
        return Response(document, status=201, headers=headers)


@extend_schema_view(
    delete=extend_schema(
        operation_id="tokens_revoke",
        summary="Revoke a token",
        description="It is refused at once, everywhere.",
        parameters=[TokenOwnerSerializer],
        responses={204: None, **problem_responses(400, 404)},
    )
)
@extend_schema(tags=["tokens"])
class TokenView(APIView):
    """`/tokens/{key}`."""

    permissions: ClassVar = {"DELETE": SIGNED_IN}

    def delete(self, request: Request, key: str) -> Response:
        services.token_revoke(user_id=owner_of(request).pk, key=key, actor=signed_in(request))
        return Response(status=204)


@extend_schema_view(
    get=extend_schema(
        operation_id="session_retrieve",
        summary="Who am I, and what may I do",
        responses={200: WhoAmISerializer, **problem_responses()},
        examples=[WHO_EXAMPLE],
    ),
    post=extend_schema(
        operation_id="session_create",
        summary="Sign in",
        description=(
            "Sets a session cookie, for browsers. Every change then needs the answer's `csrf_token` in the header "
            "X-CSRFToken. Attempts are limited by address and by e-mail."
        ),
        request=SignInSerializer,
        responses={200: WhoAmISerializer, **problem_responses(400, 413, 415)},
        examples=[
            OpenApiExample(
                "sign in", value={"email": "john@gmail.com", "password": "correct horse"}, request_only=True
            ),
            WHO_EXAMPLE,
        ],
        auth=[],
    ),
    delete=extend_schema(
        operation_id="session_delete",
        summary="Sign out",
        description="Ends the session; a token is revoked at /tokens/{key} instead.",
        responses={204: None, **problem_responses()},
    ),
)
@extend_schema(tags=["tokens"])
class SessionView(APIView):
    """`/session`."""

    permissions: ClassVar = {"GET": SIGNED_IN, "POST": PUBLIC, "DELETE": SIGNED_IN}
    parser_classes = [LoginParser]
    throttle_classes = [LoginThrottle]

    def get(self, request: Request) -> Response:
        return Response(who_am_i(request), headers={"Cache-Control": "no-store"})

    def post(self, request: Request) -> Response:
        refuse_other_origins(request._request)
        given = valid(SignInSerializer, request.data)
        user = authenticate(request._request, username=given["email"], password=given["password"])
        if user is None:
            raise InvalidCredentialsError
        login(request._request, user)
        request.user, request.auth = user, None
        return Response(who_am_i(request), headers={"Cache-Control": "no-store"})

    def delete(self, request: Request) -> Response:
        logout(request._request)
        return Response(status=204)


def refuse_other_origins(request: HttpRequest) -> None:
    """
    A page of somebody else must not sign its visitors in as somebody of its choice.

    It could not send JSON, which is all that is read here, without asking before; browsers also tell where a request
    comes from.
    """
    check = CsrfViewMiddleware(lambda _request: HttpResponse())
    if "HTTP_ORIGIN" in request.META and not check._origin_verified(request):  # type: ignore[attr-defined]
        raise PermissionDenied("This page may not sign anybody in here (see CSRF_TRUSTED_ORIGINS).")


def who_am_i(request: Request) -> dict[str, Any]:
    """Who sent a request, by what, and what they may do."""
    user, by_token = signed_in(request), isinstance(request.auth, Identity)
    countries = visible_countries(user)
    expires_at = request.auth.expires_at if isinstance(request.auth, Identity) else None
    return {
        "user": describe_user(described_users().get(pk=user.pk)),
        "kind": "token" if by_token else "session",
        "permissions": sorted(user.get_all_permissions()),
        "countries": None if countries is None else sorted(countries),
        "expires_at": None if expires_at is None else datetime.fromtimestamp(expires_at, UTC),
        "csrf_token": None if by_token else get_token(request._request),
    }


def owner_of(request: Request, *, paged: bool = False) -> User:
    """Whose tokens a request is about: `user_id`, or one's own."""
    given, actor = checked_query(request, TokenOwnerSerializer, paged=paged), signed_in(request)
    return owner_named(actor, given.get("user_id", actor.pk))


def owner_named(actor: User, user_id: str) -> User:
    """Somebody whose tokens the actor may handle. Raises PermissionDenied, UserNotFoundError, MorePowerfulUserError."""
    if user_id == actor.pk:
        return actor
    if not actor.has_perm(CHANGE_USER):
        raise PermissionDenied("None of your roles grants this.")
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise UserNotFoundError(user_id=user_id)
    require_reach(actor, user, permission=CHANGE_USER)
    require_power_over(actor, user)
    return user


def describe_token(token: AuthToken, request: Request) -> dict[str, Any]:
    """A token as lists show it."""
    current = request.auth.digest if isinstance(request.auth, Identity) else None
    return {
        "key": token.token_key,
        "user_id": token.user_id,
        "created_at": token.created,
        "expires_at": token.expiry,
        "is_current": token.digest == current,
    }
