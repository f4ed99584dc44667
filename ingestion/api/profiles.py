"""`/profiles`: how shops write their files, kept by name."""

import json
import tomllib
from collections.abc import Mapping
from typing import IO, Any, ClassVar, Final

from django.db import transaction
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import signed_in
from config.kernel.api.conditional import PreconditionFailedError, etag_of, not_modified, require_match
from config.kernel.api.idempotency import once
from config.kernel.api.keys import key_url
from config.kernel.api.parsing import BodyTooLargeError, StrictJSONParser, parse_json
from config.kernel.api.queries import checked_query
from config.kernel.api.schema import ETAG, IDEMPOTENCY, IF_MATCH, IF_NONE_MATCH, LOCATION, problem_responses
from ingestion.api.examples import PROFILE
from ingestion.api.profile_schema import NO_NUL
from ingestion.api.serializers import ProfileChangeSerializer, ProfileListSerializer, ProfileSerializer
from ingestion.clock import utc_now
from ingestion.errors import ProfileInvalidError
from ingestion.profile_store import (
    Kept,
    profile_create,
    profile_delete,
    profile_find,
    profile_list,
    profile_replace,
)

TAGS: Final = ["profiles"]
MAX_BYTES: Final = 1 << 20
EXAMPLE: Final = OpenApiExample("a web shop", value=PROFILE)
TOML: Final = {"application/toml": {"type": "string", "pattern": NO_NUL, "minLength": 1}}
DESCRIPTION: Final = (
    "The layout is that of docs/profiles.md, as JSON or as TOML (application/toml); only `name` is needed. What cannot "
    "be used is refused with all its problems at once, each with its path and a hint."
)


class TOMLParser(BaseParser):
    """The files of docs/profiles.md, as they are."""

    media_type = "application/toml"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise BodyTooLargeError(max_bytes=MAX_BYTES)
        try:
            data = tomllib.loads(raw.decode("utf-8-sig"))
            # What JSON may not hold, such as NUL, a profile may not hold either.
            return parse_json(json.dumps(data, default=str).encode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, ParseError) as error:
            hint = "texts stand in quotes, sections in [brackets]"
            raise ProfileInvalidError(
                errors=[{"field": "", "code": "invalid_toml", "message": str(error), "hint": hint}]
            ) from error


class ProfilesView(APIView):
    """All profiles."""

    permissions: ClassVar = {"GET": "ingestion.view_storedprofile", "POST": "ingestion.add_storedprofile"}
    parser_classes = [StrictJSONParser, TOMLParser]

    @extend_schema(
        operation_id="profiles_list",
        tags=TAGS,
        summary="List profiles",
        description="All, in alphabetical order: those that ship with Sluice, and those that are kept here.",
        responses={200: ProfileListSerializer, **problem_responses(400, 406)},
    )
    def get(self, request: Request) -> Response:
        """List profiles."""
        checked_query(request, paged=False)
        return Response({"results": [_entry(kept) for kept in profile_list()]})

    @extend_schema(
        operation_id="profiles_create",
        tags=TAGS,
        summary="Keep a profile",
        description=DESCRIPTION,
        parameters=[*IDEMPOTENCY, ETAG, LOCATION],
        request={"application/json": ProfileSerializer, **TOML},
        examples=[EXAMPLE],
        responses={201: ProfileSerializer, **problem_responses(400, 406, 409, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        """Keep a profile."""
        return once(request, lambda: self._create(request))

    def _create(self, request: Request) -> Response:
        kept = profile_create(definition=_table(request), created_by_id=signed_in(request).pk, now=utc_now())
        headers = {"Location": _url(kept), "ETag": _etag(kept)}
        return Response(kept.profile.as_dict(), status=201, headers=headers)


class ProfileView(APIView):
    """One profile."""

    permissions: ClassVar = {
        "GET": "ingestion.view_storedprofile",
        "PUT": "ingestion.change_storedprofile",
        "DELETE": "ingestion.delete_storedprofile",
    }
    parser_classes = [StrictJSONParser, TOMLParser]

    @extend_schema(
        operation_id="profiles_retrieve",
        tags=TAGS,
        summary="One profile",
        description="With all its defaults written out.",
        parameters=[ETAG, IF_NONE_MATCH],
        responses={
            200: OpenApiResponse(ProfileSerializer, examples=[EXAMPLE]),
            304: OpenApiResponse(description="Not changed."),
            **problem_responses(400, 404, 406),
        },
    )
    def get(self, request: Request, name: str) -> Response:
        """One profile."""
        kept = profile_find(name=name)
        headers = {"ETag": _etag(kept)}
        if not_modified(request, _etag(kept)):
            return Response(status=304, headers=headers)
        return Response(kept.profile.as_dict(), headers=headers)

    @extend_schema(
        operation_id="profiles_replace",
        tags=TAGS,
        summary="Replace a profile",
        description=f"{DESCRIPTION} Imports that were made with it keep what they were made with.",
        parameters=[ETAG, IF_MATCH],
        request={"application/json": ProfileChangeSerializer, **TOML},
        examples=[EXAMPLE],
        responses={200: ProfileSerializer, **problem_responses(400, 404, 406, 409, 412, 413, 415, 422, 428)},
    )
    def put(self, request: Request, name: str) -> Response:
        """Replace a profile."""
        definition = _table(request)
        with transaction.atomic():
            kept = _expected(request, name)
            changed = profile_replace(name=name, definition=definition, expected_version=kept.version, now=utc_now())
            if changed is None:
                raise PreconditionFailedError(etag=_etag(profile_find(name=name)))
        return Response(changed.profile.as_dict(), headers={"ETag": _etag(changed)})

    @extend_schema(
        operation_id="profiles_delete",
        tags=TAGS,
        summary="Forget a profile",
        description="Imports that were made with it keep what they were made with.",
        parameters=[IF_MATCH],
        responses={204: OpenApiResponse(description="It is gone."), **problem_responses(400, 404, 406, 409, 412, 428)},
    )
    def delete(self, request: Request, name: str) -> Response:
        """Forget a profile."""
        with transaction.atomic():
            kept = _expected(request, name)
            if not profile_delete(name=name, expected_version=kept.version):
                raise PreconditionFailedError(etag=_etag(profile_find(name=name)))
        return Response(status=204)


def _expected(request: Request, name: str) -> Kept:
    """The profile that If-Match names. One that cannot be changed at all is refused first."""
    kept = profile_find(name=name)
    if not kept.built_in:
        require_match(request, _etag(kept))
    return kept


def _table(request: Request) -> dict[str, Any]:
    if isinstance(request.data, dict):
        return dict(request.data)
    raise ParseError("A profile is an object.")


def _etag(kept: Kept) -> str:
    # A profile that was deleted and made anew begins with version 1 again.
    return etag_of(f"{kept.stored.pk}-{kept.version}" if kept.stored else "built-in")


def _url(kept: Kept) -> str:
    return key_url("/profiles", kept.profile.name)


def _entry(kept: Kept) -> dict[str, Any]:
    stored = kept.stored
    return {
        "name": kept.profile.name,
        "description": kept.profile.description,
        "built_in": kept.built_in,
        "version": kept.version,
        "created_by": stored.created_by_id if stored else None,
        "updated_at": stored.updated_at if stored else None,
        "url": _url(kept),
    }
