"""Answers for machines that watch us."""

from django.http import HttpRequest, HttpResponse


def healthz(_request: HttpRequest) -> HttpResponse:
    """Whether this process lives. It asks no other service: a restart of this one would not mend them."""
    return HttpResponse("ok\n", content_type="text/plain", headers={"Cache-Control": "no-store"})
