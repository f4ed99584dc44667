"""Uploads, stored profiles, and the chunks and rejects of an import."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat

from config.kernel.admin import ReadOnlyAdmin
from ingestion.models import Chunk, Reject, StoredProfile, Upload


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    """Uploads; their owners delete them through the API, and `prune_uploads` when their time is over."""

    list_display = ("filename", "owner_id", "state", "stored", "profile", "created_at", "expires_at")
    list_filter = ("state", "kind")
    search_fields = ("=id", "=owner__id", "=filename")
    search_help_text = "id of an upload or of a person, or the whole name of a file"
    ordering = ("-created_at",)

    @admin.display(description="stored")
    def stored(self, upload: Upload) -> str:
        of = "?" if upload.length_bytes is None else filesizeformat(upload.length_bytes)
        return f"{filesizeformat(upload.offset_bytes)} of {of}"


@admin.register(StoredProfile)
class StoredProfileAdmin(ReadOnlyAdmin):
    """Profiles are written through the API, which checks every option and says what is wrong."""

    list_display = ("name", "version", "created_by_id", "updated_at")
    search_fields = ("name",)
    ordering = ("name",)


class OfOneImportAdmin(ReadOnlyAdmin):
    """Rows of one import, which the address must name (`?owner__id__exact=7`): there may be millions of others."""

    ordering: ClassVar[Any] = ("pk",)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup in ("owner__id__exact", "owner__id", "code", "state") or super().lookup_allowed(
            lookup, value, request
        )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        found = super().get_queryset(request)
        named = any(name in request.GET for name in ("owner__id__exact", "owner__id"))
        of_one_row = request.resolver_match is not None and "object_id" in request.resolver_match.kwargs
        return found if named or of_one_row else found.none()

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Reached from an import's page only."""
        return False


@admin.register(Chunk)
class ChunkAdmin(OfOneImportAdmin):
    """The chunks of an import: who holds them, how often they were tried, what went wrong last."""

    list_display = ("number", "state", "records", "length", "attempts", "worker", "lease_until", "last_error")
    list_filter = ("state",)
    ordering = ("owner", "number")


@admin.register(Reject)
class RejectAdmin(OfOneImportAdmin):
    """The errors of an import, record by record."""

    list_display = ("record", "line", "column_name", "code", "message", "value")
    list_filter = ("code",)
    ordering = ("owner", "record", "position")
    exclude = ("raw",)
