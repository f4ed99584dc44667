"""`/schema` (OpenAPI) and `/docs` (Swagger UI), for everybody, signed in or not."""

import hashlib
from functools import cache
from typing import Any, Final

from django.http import HttpResponse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.renderers import JSONRenderer, TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from config.kernel.api.conditional import etag_of, not_modified

CACHE_SECONDS: Final = 300
WITH_BODY: Final = ("uploads_append", "orders_place", "profiles_create")
"""Operations that nobody calls without a body (see `require_bodies`)."""
# The page runs its own script only, and talks to its own server only; Swagger UI sets styles from its script.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def require_bodies(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """
    Say which operations refuse a request without a body.

    drf-spectacular sees it by itself where the body is one serializer, but not where it is bytes, or one of several.
    """
    for operations in result["paths"].values():
        for operation in operations.values():
            if operation.get("operationId") in WITH_BODY:
                operation["requestBody"]["required"] = True
    return result


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Our bearer tokens."""

    target_class = "accounts.authentication.TokenAuthentication"
    name = "token"
    priority = 1

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of `POST /tokens` or `manage.py create_token`.",
        }


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The admin's session."""

    target_class = "rest_framework.authentication.SessionAuthentication"
    name = "session"
    priority = 1

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey", "in": "cookie", "name": "sessionid",
            "description": "Of somebody signed in to the admin; changes need an X-CSRFToken header beside it.",
        }  # fmt: skip


class _ProblemsAsJson:
    """A refusal is JSON, whatever the view renders otherwise."""

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        if response.status_code >= 400:
            response.accepted_renderer, response.accepted_media_type = JSONRenderer(), "application/json"
        return response


class SchemaView(_ProblemsAsJson, SpectacularAPIView):
    """The schema as JSON or YAML, by Accept or `?format=`; made once a process."""

    # A browser takes the first, and shows it.
    renderer_classes = [OpenApiJsonRenderer2, OpenApiYamlRenderer2, OpenApiJsonRenderer, OpenApiYamlRenderer]

    def _get_schema_response(self, request: Request) -> Response | HttpResponse:
        renderer = request.accepted_renderer
        generator_class, renderer_class = self.generator_class, type(renderer)
        body, etag = _rendered(generator_class, renderer_class)  # type: ignore[arg-type] # classes are hashable
        headers = {"ETag": etag, "Cache-Control": f"public, max-age={CACHE_SECONDS}", "Vary": "Accept"}
        if not_modified(request, etag):
            return HttpResponse(status=304, headers=headers)
        return HttpResponse(body, content_type=renderer.media_type, headers=headers)


class DocsView(_ProblemsAsJson, SpectacularSwaggerSplitView):
    """Swagger UI, its files from this server."""

    renderer_classes = [TemplateHTMLRenderer]
    url_name = "schema"

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["Cache-Control"] = "no-cache"
        return response


@cache
def _rendered(generator_class: Any, renderer_class: Any) -> tuple[bytes, str]:
    """Of the whole schema, whoever asks; its servers are relative, so that it is the same under each name."""
    schema = generator_class().get_schema(request=None, public=True)
    body: bytes = renderer_class().render(schema, renderer_context={})
    return body, etag_of(hashlib.sha256(body).hexdigest()[:32])
