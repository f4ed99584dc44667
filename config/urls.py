"""Which address answers what."""

from django.contrib import admin
from django.urls import include, path, register_converter

from config.kernel.api.keys import KeyConverter
from config.views import healthz

register_converter(KeyConverter, "key")

handler404 = "config.kernel.api.problems.not_found"
handler500 = "config.kernel.api.problems.server_error"

urlpatterns = [
    path("healthz", healthz),
    path("admin/", admin.site.urls),
    path("", include("accounts.urls")),
    path("", include("orders.urls")),
    path("", include("ingestion.urls")),
    path("", include("django_prometheus.urls")),
]
