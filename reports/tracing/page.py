"""The admin's page of one record."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts.authentication import signed_in
from config.kernel.errors import ApplicationError
from ingestion.api.access import import_seen
from reports.tracing.text import trace_text
from reports.tracing.trace import record_trace

MOST_DIGITS = 18


def record_page(request: HttpRequest) -> HttpResponse:
    """`?import=7&record=3`, for who may see the import."""
    asked = {name: request.GET.get(name, "") for name in ("import", "record")}
    if not all(text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS for text in asked.values()):
        raise Http404
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": f"Record {asked['record']} of import {asked['import']}",
        "import_id": int(asked["import"]),
        "record": int(asked["record"]),
    }
    try:
        owner = import_seen(signed_in(request), context["import_id"])
        trace = record_trace(owner=owner, record=context["record"])
        context |= {"trace": trace, "text": trace_text(trace)}
    except ApplicationError as error:
        context["refused"] = str(error)
    return TemplateResponse(request, "admin/reports/historyentry/record.html", context)
