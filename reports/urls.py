"""Addresses of the reports."""

from django.urls import URLPattern, URLResolver, path

from reports import views
from reports.tracing.view import RecordView

urlpatterns: list[URLPattern | URLResolver] = [
    path("reports/days", views.Days.as_view(), name="report-days"),
    path("reports/countries", views.Countries.as_view(), name="report-countries"),
    path("reports/users", views.Users.as_view(), name="report-users"),
    path("reports/items", views.Items.as_view(), name="report-items"),
    path("imports/<int:import_id>/records/<int:record>", RecordView.as_view(), name="report-record"),
]
