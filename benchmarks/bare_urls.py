"""The product's addresses and `/bare`: the bytes of a file, by the barest view that Django allows."""

import os
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.urls import path

from config.urls import handler400, handler403, handler404, handler500, urlpatterns as ours

BODY = Path(os.environ["BENCH_BODY"]).read_bytes()


def bare(_request: HttpRequest) -> HttpResponse:
    """The bytes."""
    return HttpResponse(BODY, content_type="application/json")


urlpatterns = [path("bare", bare), *ours]

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]
