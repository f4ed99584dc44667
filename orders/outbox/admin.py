"""The outbox in the admin: how far each lane has got, and keys that wait for a decision."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from config.kernel.admin import ReadOnlyAdmin
from config.kernel.errors import ApplicationError
from orders.outbox.halting import event_drop, key_release
from orders.outbox.models import Decision, Entry, HaltedKey, HeldEvent, Lane
from orders.outbox.selectors import LaneLag, lanes

DECIDE = "outbox.change_haltedkey"


@admin.register(Lane)
class LaneAdmin(ReadOnlyAdmin):
    """Lanes, and how far behind each is."""

    list_display = ("lane", "owner", "lag", "behind", "acknowledged_at", "published", "halted_reason")
    ordering = ("lane",)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        response = super().changelist_view(request, extra_context)
        changelist = getattr(response, "context_data", {}).get("cl") if isinstance(response, TemplateResponse) else None
        if changelist is not None:
            # One question for the whole page, not one for each row.
            found = {lag.lane: lag for lag in lanes()}
            for row in changelist.result_list:
                row.standing = found.get(row.lane)
        return response

    @admin.display(description="lag")
    def lag(self, row: Lane) -> str:
        standing: LaneLag | None = getattr(row, "standing", None)
        return "–" if standing is None else f"{standing.lag_seconds:,.1f} s"

    @admin.display(description="events behind")
    def behind(self, row: Lane) -> str:
        standing: LaneLag | None = getattr(row, "standing", None)
        if standing is None:
            return "–"
        return f"{'' if standing.exact else 'about '}{standing.events_behind:,}"


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    """Entries as they were written; none is ever changed."""

    list_display = ("id", "lane", "kind", "type", "key", "version", "orders", "source", "created_at")
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        return super().get_queryset(request).defer("payload")


class ReasonForm(ActionForm):
    """Beside the choice of an action."""

    reason = forms.CharField(required=False, max_length=500, label="Reason")


def decision(decide: Callable[..., Any], name: str, label: str) -> Callable[..., None]:
    """An action that decides about the chosen keys, with the reason that stands beside it."""

    @admin.action(description=label, permissions=["decide"])
    def act(model_admin: "HaltedKeyAdmin", request: HttpRequest, queryset: QuerySet[HaltedKey]) -> None:
        reason = request.POST.get("reason", "")
        for row in queryset:
            try:
                decide(topic=row.topic, key=row.key, reason=reason, by=str(request.user.pk))
            except ApplicationError as error:
                model_admin.message_user(request, f"{row.key}: {error}", messages.ERROR)
            else:
                model_admin.message_user(request, f"{row.key}: a relay sends what is held.", messages.SUCCESS)

    act.__name__ = name
    return act


@admin.register(HaltedKey)
class HaltedKeyAdmin(ReadOnlyAdmin):
    """Keys with an event that cannot be sent. Released or dropped with a reason (docs/runbooks/outbox-halted.md)."""

    list_display = ("key", "topic", "event_id", "reason", "attempts", "halted_at")
    search_fields = ("=key",)
    ordering = ("pk",)
    action_form = ReasonForm
    actions = (
        decision(key_release, "release", "Release: try again"),
        decision(event_drop, "drop", "Drop the event that was refused"),
    )

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Looking at events is one thing, deciding not to send one another."""
        return bool(request.user.has_perm(DECIDE))


@admin.register(HeldEvent)
class HeldEventAdmin(ReadOnlyAdmin):
    """Events that wait behind one that cannot be sent, the first one included."""

    list_display = ("event_id", "topic", "key", "type", "held_at")
    search_fields = ("=key",)
    ordering = ("pk",)
    exclude = ("data",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[HeldEvent]:
        return super().get_queryset(request).defer("data")


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    """What was decided about events that could not be sent, by whom and why."""

    list_display = ("event_id", "topic", "key", "decision", "reason", "by", "at")
    search_fields = ("=key",)
    ordering = ("-pk",)
