"""Which address answers what; /healthz, /readyz and /metrics are answered before, by config.middleware."""

from django.contrib import admin
from django.urls import include, path, register_converter

from config.api_docs import DocsView, SchemaView
from config.kernel.api.keys import KeyConverter

register_converter(KeyConverter, "key")

handler400 = "config.refusals.bad_request"
handler403 = "config.refusals.permission_denied"
handler404 = "config.refusals.not_found"
handler500 = "config.refusals.server_error"

admin.autodiscover()
admin.site.site_header = admin.site.site_title = "Sluice"

urlpatterns = [
    # Patterns are tried in this order, and orders are asked for most.
    path("", include("orders.urls")),
    path("schema", SchemaView.as_view(), name="schema"),
    path("docs", DocsView.as_view(), name="docs"),
    path("admin/", admin.site.urls),
    path("", include("accounts.urls")),
    path("", include("ingestion.urls")),
    path("", include("reports.urls")),
]
