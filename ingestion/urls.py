"""Addresses of ingestion."""

from django.urls import URLPattern, URLResolver, path

from ingestion.api.imports import (
    ImportCancelView,
    ImportPauseView,
    ImportResumeView,
    ImportStartView,
    ImportsView,
    ImportView,
)
from ingestion.api.outcomes import (
    CertificateView,
    ChunksView,
    DisagreementsView,
    ErrorsView,
    FailedView,
    RejectsView,
    UnprocessedView,
)
from ingestion.api.previews import ImportPreviewView, UploadPreviewView
from ingestion.api.profiles import ProfilesView, ProfileView
from ingestion.api.tus import UploadsView, UploadView

urlpatterns: list[URLPattern | URLResolver] = [
    path("uploads", UploadsView.as_view()),
    path("uploads/<key:upload_id>", UploadView.as_view()),
    path("uploads/<uuid:upload_id>/preview", UploadPreviewView.as_view()),
    path("imports", ImportsView.as_view()),
    path("imports/<int:import_id>", ImportView.as_view()),
    path("imports/<int:import_id>/start", ImportStartView.as_view()),
    path("imports/<int:import_id>/pause", ImportPauseView.as_view()),
    path("imports/<int:import_id>/resume", ImportResumeView.as_view()),
    path("imports/<int:import_id>/cancel", ImportCancelView.as_view()),
    path("imports/<int:import_id>/preview", ImportPreviewView.as_view()),
    path("imports/<int:import_id>/rejects", RejectsView.as_view()),
    path("imports/<int:import_id>/failed.csv", FailedView.as_view()),
    path("imports/<int:import_id>/errors.csv", ErrorsView.as_view()),
    path("imports/<int:import_id>/unprocessed.csv", UnprocessedView.as_view()),
    path("imports/<int:import_id>/certificate", CertificateView.as_view()),
    path("imports/<int:import_id>/disagreements", DisagreementsView.as_view()),
    path("imports/<int:import_id>/chunks", ChunksView.as_view()),
    path("profiles", ProfilesView.as_view()),
    path("profiles/<key:name>", ProfileView.as_view()),
]
