"""Imports: where they stand, counting while one looks; start, pause, resume, cancel."""

from collections.abc import Callable
from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.kernel.admin import ReadOnlyAdmin
from config.kernel.errors import ApplicationError
from ingestion import states
from ingestion.clock import utc_now
from ingestion.control import import_begin, import_call_off, import_hold, import_resume
from ingestion.models import Import, Source
from ingestion.standing import Standing, publishing_entry, standings

CHANGE: Final = "ingestion.change_import"
SHOWN_AT_ONCE: Final = 200
MOVING: Final = frozenset({states.UPLOADING, states.QUEUED, states.RUNNING})
# verb on the button → (what to call, from which states it makes sense, what people are told)
CONTROLS: Final[dict[str, tuple[Callable[[int], Import], frozenset[str], str]]] = {
    "start": (lambda pk: import_begin(import_id=pk, now=utc_now()), frozenset({states.OPEN}), "started"),
    "pause": (lambda pk: import_hold(import_id=pk), frozenset({states.QUEUED, states.RUNNING}), "paused"),
    "resume": (lambda pk: import_resume(import_id=pk, now=utc_now()), frozenset({states.PAUSED}), "goes on"),
    "cancel": (
        lambda pk: import_call_off(import_id=pk, now=utc_now()),
        states.sources_of(states.CANCELLED),
        "cancelled; what was merged stays",
    ),
}


@admin.register(Import)
class ImportAdmin(ReadOnlyAdmin):
    """Nothing of an import is typed in here; it is only told to start, pause, go on or stop."""

    list_display = (
        "number",
        "state_shown",
        "file",
        "profile",
        "created_by_id",
        "progress",
        "loaded",
        "rejected",
        "age",
    )
    list_filter = ("state", "dry_run", "queue")
    search_fields = ("=id", "=created_by__id", "=upload__filename")
    search_help_text = "number of an import, id of a person, or name of an uploaded file"
    list_select_related = ("upload",)
    ordering = ("-pk",)
    actions = ["start_selected", "pause_selected", "resume_selected", "cancel_selected"]
    change_form_template = "admin/ingestion/import/detail.html"
    change_list_template = "admin/ingestion/import/list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Import]:
        return super().get_queryset(request).defer("certificate", "signature", "options")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        response = super().changelist_view(request, extra_context)
        changelist = getattr(response, "context_data", {}).get("cl") if isinstance(response, TemplateResponse) else None
        if changelist is not None:
            # One question for the whole page, not one for each row.
            found = standings(list(changelist.result_list), now=utc_now())
            for owner in changelist.result_list:
                owner.standing = found[owner.pk]
        return response

    # Columns

    @admin.display(description="import", ordering="pk")
    def number(self, owner: Import) -> str:
        return f"{owner.pk} (dry run)" if owner.dry_run else str(owner.pk)

    @admin.display(description="state", ordering="state")
    def state_shown(self, owner: Import) -> SafeString:
        return _live(owner, "state", owner.state.replace("_", " "))

    @admin.display(description="file")
    def file(self, owner: Import) -> str:
        return (owner.upload.filename or "(unnamed)") if owner.upload else "on the server"

    @admin.display(description="progress")
    def progress(self, owner: Import) -> SafeString:
        return _live(owner, "progress", progress_text(_standing(owner)))

    @admin.display(description="loaded")
    def loaded(self, owner: Import) -> SafeString:
        return _live(owner, "loaded", f"{_standing(owner).outcomes['loaded']:,}")

    @admin.display(description="rejected")
    def rejected(self, owner: Import) -> SafeString:
        return _live(owner, "rejected", f"{_standing(owner).outcomes['rejected']:,}")

    @admin.display(description="created", ordering="created_at")
    def age(self, owner: Import) -> Any:
        return owner.created_at

    # Controls

    def has_control_permission(self, request: HttpRequest) -> bool:
        """Whether this person may control every import (the actions name it)."""
        return request.user.has_perm(CHANGE)

    @admin.action(description="Start", permissions=["control"])
    def start_selected(self, request: HttpRequest, chosen: QuerySet[Import]) -> None:
        self._control_all(request, chosen, "start")

    @admin.action(description="Pause", permissions=["control"])
    def pause_selected(self, request: HttpRequest, chosen: QuerySet[Import]) -> None:
        self._control_all(request, chosen, "pause")

    @admin.action(description="Resume", permissions=["control"])
    def resume_selected(self, request: HttpRequest, chosen: QuerySet[Import]) -> None:
        self._control_all(request, chosen, "resume")

    @admin.action(description="Cancel (what was merged stays)", permissions=["control"])
    def cancel_selected(self, request: HttpRequest, chosen: QuerySet[Import]) -> None:
        self._control_all(request, chosen, "cancel")

    def _control_all(self, request: HttpRequest, chosen: QuerySet[Import], verb: str) -> None:
        for import_id in chosen.order_by("pk").values_list("pk", flat=True):
            self._control_one(request, import_id, verb)

    def _control_one(self, request: HttpRequest, import_id: int, verb: str) -> None:
        call, _, told = CONTROLS[verb]
        try:
            owner = call(import_id)
        except ApplicationError as error:
            self.message_user(request, str(error), messages.ERROR)
            return
        self.log_change(request, owner, f"{verb}")
        self.message_user(request, f"Import {import_id}: {told}.", messages.SUCCESS)

    # Addresses of its own

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("standing/", wrap(self.standing_view), name="ingestion_import_standing"),
            path("<int:import_id>/control/<str:verb>/", wrap(self.control_view), name="ingestion_import_control"),
            *super().get_urls(),
        ]

    def control_view(self, request: HttpRequest, import_id: int, verb: str) -> HttpResponse:
        """A button of an import's page."""
        if not self.has_control_permission(request):
            raise PermissionDenied
        if verb not in CONTROLS or request.method != "POST":
            raise Http404
        self._control_one(request, get_object_or_404(Import, pk=import_id).pk, verb)
        return HttpResponseRedirect(reverse("admin:ingestion_import_change", args=[import_id]))

    def standing_view(self, request: HttpRequest) -> JsonResponse:
        """What the page asks for every two seconds: `?ids=1,2` → texts by id and column, and whether to ask again."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        ids = [int(text) for text in request.GET.get("ids", "").split(",") if text.isdecimal() and len(text) < 19]
        owners = list(self.get_queryset(request).filter(pk__in=ids[:SHOWN_AT_ONCE]))
        found = standings(owners, now=utc_now())
        body = {str(owner.pk): {**cells(owner, found[owner.pk]), "moving": owner.state in MOVING} for owner in owners}
        return JsonResponse(body, headers={"Cache-Control": "no-store"})

    # One import

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        owner = Import.objects.filter(pk=int(object_id)).first() if object_id.isdecimal() else None
        context = {} if owner is None else self._detail(request, owner)
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def get_fieldsets(self, request: HttpRequest, obj: Import | None = None) -> list[Any]:
        """The page's own template shows everything."""
        return []

    def _detail(self, request: HttpRequest, owner: Import) -> dict[str, Any]:
        standing = standings([owner], now=utc_now())[owner.pk]
        controllable = self.has_control_permission(request) and owner.queue != ""
        verbs = [verb for verb, (_, sensible, _) in CONTROLS.items() if owner.state in sensible and controllable]
        return {
            "owner": owner,
            "standing": standing,
            "cells": cells(owner, standing),
            "moving": owner.state in MOVING,
            "verbs": [(verb, reverse("admin:ingestion_import_control", args=[owner.pk, verb])) for verb in verbs],
            "sources": Source.objects.filter(owner=owner).order_by("number"),
            "children": Import.objects.filter(parent=owner).order_by("pk").values_list("pk", "state")[:SHOWN_AT_ONCE],
            "outcomes": [(name, f"{number:,}") for name, number in standing.outcomes.items()],
            "slowed_since": owner.slowed_since if owner.state == states.RUNNING else None,
            "publishing": publishing_text(publishing_entry(owner)),
            "reject_codes": [(code, f"{number:,}") for code, number in standing.errors.items()],
        }


def _standing(owner: Import) -> Standing:
    found: Standing | None = getattr(owner, "standing", None)
    return found or standings([owner], now=utc_now())[owner.pk]


def progress_text(standing: Standing) -> str:
    """How far, how fast, how long: "45 % · 210,000 records/s · 38 s left"."""
    parts = []
    if standing.bytes_total:
        parts.append(f"{100 * standing.bytes_done // standing.bytes_total} %")
    if standing.records_per_second:
        parts.append(f"{standing.records_per_second:,.0f} records/s")
    if standing.eta_seconds:
        parts.append(f"{standing.eta_seconds:,.0f} s left")
    return " · ".join(parts) or "–"


def publishing_text(entry: dict[str, Any] | None) -> str:
    """Load time and publish time apart: "loaded in 12.0 s; 500,000 events, the last one in Kafka 3.1 s later"."""
    if entry is None:
        return ""
    loaded = "" if entry["load_seconds"] is None else f"loaded in {entry['load_seconds']:,.1f} s; "
    if entry["published_at"] is not None:
        later = f"{entry['seconds_after_load']:,.1f} s later"
        return f"{loaded}{entry['events']:,} events, the last one in Kafka {later}"
    if entry["complete"]:
        return f"{loaded}all events are in Kafka"
    return f"{loaded}{entry['events_published']:,} of {entry['events']:,} events are in Kafka"


def cells(owner: Import, standing: Standing) -> dict[str, str]:
    """The texts that change while an import runs, by the name that the page knows them by."""
    texts = {
        "state": owner.state.replace("_", " "),
        "progress": progress_text(standing),
        "records": f"{standing.records_done:,}",
    }
    return texts | {name: f"{number:,}" for name, number in standing.outcomes.items()}


def _live(owner: Import, name: str, text: str) -> SafeString:
    """A text that static/ingestion/live.js keeps up to date while the import moves."""
    moving = "1" if owner.state in MOVING else ""
    return format_html('<span data-import="{}" data-cell="{}" data-moving="{}">{}</span>', owner.pk, name, moving, text)
