"""
Items and orders in the admin.

Orders are looked at; their status changes through the same services as by the API, so the same rules, versions and
events. Lists show what is found in bounded time: tables reach 100 million rows.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.authentication import signed_in
from config.kernel.admin import BoundedAdmin, ReadOnlyAdmin
from config.kernel.errors import ApplicationError
from config.kernel.keyset import TIMEOUT_MS, Keyset, QueryTooSlowError, statement_timeout
from orders import selectors, services, states
from orders.access import CHANGE, access_of
from orders.models import Item, Order

ADMIN: Final = "admin"
SHOWN_AT_MOST: Final = 1_000
LINES_SHOWN: Final = 200
PERIODS: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
REFUSALS_SHOWN: Final = 5


class BoundedChangeList(ChangeList):
    """The first rows that match, as many as are found in time; a message tells when there may be others."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows = super().get_queryset(request, exclude_parameters)
        if not (self.query or self.get_filters_params()):
            return rows
        try:
            with statement_timeout(TIMEOUT_MS):
                page: Any = self.model_admin
                keys, complete = page.first_keys(rows, request)
        except QueryTooSlowError as error:
            messages.error(request, str(error))
            return rows.none()
        if not complete:
            text = f"These are the first {len(keys):,} that were found; there may be others. Narrow the list down."
            messages.warning(request, text)
        return self.root_queryset.filter(pk__in=keys).order_by(*page.ordering)


class StatusFilter(admin.SimpleListFilter):
    """By status; no index serves it, so rows are looked through."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state) for state in states.ALL]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        return queryset.filter(status=self.value()) if self.value() in states.ALL else queryset


class CreatedFilter(admin.SimpleListFilter):
    """By when it was written here."""

    title = "created"
    parameter_name = "created"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, f"Past {name}") for name in PERIODS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        since = created_since(request)
        return queryset if since is None else queryset.filter(created_at__gte=since)


def created_since(request: HttpRequest) -> datetime | None:
    """The beginning of the period that was chosen."""
    period = PERIODS.get(request.GET.get("created", ""))
    return None if period is None else timezone.now() - period


def status_action(status: str, label: str) -> Callable[..., None]:
    """An action that takes orders one step on."""

    @admin.action(description=label, permissions=["write"])
    def take_on(model_admin: "OrderAdmin", request: HttpRequest, queryset: QuerySet[Order]) -> None:
        model_admin.change_status(request, queryset, status)

    take_on.__name__ = f"mark_{status}"
    return take_on


@admin.action(description="Cancel…", permissions=["write"])
def cancel(model_admin: "OrderAdmin", request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponse | None:
    """Cancel orders, after a page that asks whether to."""
    if request.POST.get("confirmed"):
        model_admin.change_status(request, queryset, states.CANCELLED)
        return None
    context = {
        **admin.site.each_context(request),
        "title": "Cancel orders?",
        "opts": model_admin.opts,
        "orders": list(queryset[:SHOWN_AT_MOST]),
        "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/orders/order/cancel.html", context)


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    """Orders. Searching finds the beginnings of ids, and users by their whole id."""

    list_display = ("id", "user_id", "status", "ordered_at", "country", "currency", "version", "import_link")
    list_filter = (StatusFilter, CreatedFilter)
    search_fields = ("id",)  # get_search_results knows better
    search_help_text = "The beginning of an order's id, or the whole id of a user"
    ordering = ("-id",)
    actions = (
        *(status_action(state, f"Mark as {state}") for state in (states.PAID, states.SHIPPED, states.DELIVERED)),
        cancel,
    )
    fieldsets = (
        (None, {"fields": ("id", "user_link", "status", "ordered_at", "country", "currency", "attributes")}),
        ("Lines", {"fields": ("lines_table",)}),
        ("History", {"fields": ("version", "events_link", "import_link", "record_link", "created_at", "updated_at")}),
    )
    readonly_fields = (
        "user_link",
        "lines_table",
        "events_link",
        "import_link",
        "created_at",
        "updated_at",
        "record_link",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        return selectors.orders_seen(access_of(signed_in(request)))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BoundedChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Order], search_term: str
    ) -> tuple[QuerySet[Order], bool]:
        text = search_term.strip()
        return (queryset.filter(pk__in=selectors.orders_named(text, SHOWN_AT_MOST)) if text else queryset), False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup in ("status", "created", "import_id", "user_id", "country")

    def first_keys(self, rows: QuerySet[Order], request: HttpRequest) -> tuple[list[str], bool]:
        """Ids of the first rows that match, and whether these are all."""
        indexed: dict[str, Any] = {name: request.GET[name] for name in ("import_id", "user_id") if name in request.GET}
        since = created_since(request)
        if since is not None:
            indexed["created_at__gte"] = since
        found = selectors.orders_first(
            rows, indexed, few=bool(request.GET.get("q")), descending=True, wanted=SHOWN_AT_MOST
        )
        return found

    def has_write_permission(self, request: HttpRequest) -> bool:
        """Whether the actions are offered."""
        return signed_in(request).has_perm(CHANGE)

    def change_status(self, request: HttpRequest, queryset: QuerySet[Order], status: str) -> None:
        """Take each order to a status; tell what was done and what was refused."""
        access, done, refused = access_of(signed_in(request), writing=CHANGE), 0, []
        for order_id in queryset.values_list("pk", flat=True)[:SHOWN_AT_MOST]:
            try:
                services.order_change_status(
                    order_id=order_id, status=status, access=access, source=ADMIN, now=timezone.now()
                )
                done += 1
            except ApplicationError as error:
                refused.append(str(error))
        if done:
            self.message_user(request, f"{done:,} orders are {status}.", messages.SUCCESS)
        for text in refused[:REFUSALS_SHOWN]:
            self.message_user(request, text, messages.WARNING)
        if len(refused) > REFUSALS_SHOWN:
            text = f"{len(refused) - REFUSALS_SHOWN:,} more were refused."
            self.message_user(request, text, messages.WARNING)

    @admin.display(description="user")
    def user_link(self, order: Order) -> str:
        """The user's page."""
        return "guest" if order.user_id is None else _link("accounts_user_change", order.user_id, order.user_id)

    @admin.display(description="import")
    def import_link(self, order: Order) -> str:
        """The import that wrote it last."""
        return (
            "" if order.import_id is None else _link("ingestion_import_change", order.import_id, f"#{order.import_id}")
        )

    @admin.display(description="first record")
    def record_link(self, order: Order) -> str:
        """What became of the record that it began with."""
        if order.import_id is None or order.import_record is None:
            return ""
        url = reverse("admin:reports_historyentry_record")
        query = f"?import={order.import_id}&record={order.import_record}"
        return format_html('<a href="{}{}">record {}</a>', url, query, order.import_record)

    @admin.display(description="events")
    def events_link(self, order: Order) -> str:
        """Where on the broker its events are, as far as they were read."""
        return _search("reports_historyentry", order.pk, "where they were read")

    @admin.display(description="lines")
    def lines_table(self, order: Order) -> SafeString:
        """The lines as a table: Django's inlines cannot be sent back for a model with two key columns."""
        lines = list(selectors.order_lines(order.pk).order_by("line_no")[: LINES_SHOWN + 1])
        rows = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            (
                (
                    line.line_no,
                    _link("orders_item_change", line.item_id, line.item_id),
                    line.quantity,
                    _price(line.unit_price),
                )
                for line in lines[:LINES_SHOWN]
            ),
        )
        more = f"The first {LINES_SHOWN} lines; the API has all." if len(lines) > LINES_SHOWN else ""
        head = SafeString("<tr><th>line</th><th>item</th><th>quantity</th><th>unit price</th></tr>")
        return format_html("<table><thead>{}</thead><tbody>{}</tbody></table>{}", head, rows, more)


class RetiredFilter(admin.SimpleListFilter):
    """Items that are sold, or not any more."""

    title = "retired"
    parameter_name = "retired"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Sold"), ("yes", "Retired")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Item]) -> QuerySet[Item]:
        value = self.value()
        return queryset if value not in ("no", "yes") else queryset.filter(retired_at__isnull=value == "no")


@admin.action(description="Retire", permissions=["change"])
def retire(model_admin: "ItemAdmin", request: HttpRequest, queryset: QuerySet[Item]) -> None:
    """Stop selling items."""
    skus = list(queryset.values_list("pk", flat=True)[:SHOWN_AT_MOST])
    for sku in skus:
        services.item_retire(sku=sku, now=timezone.now())
    model_admin.message_user(request, f"{len(skus):,} items are retired.", messages.SUCCESS)


@admin.register(Item)
class ItemAdmin(BoundedAdmin):
    """Items. Searching finds the beginnings of skus and parts of names."""

    list_display = ("sku", "name", "list_price", "retired_at")
    list_filter = (RetiredFilter,)
    search_fields = ("sku", "name")
    search_help_text = "The beginning of a sku, or a part of a name"
    ordering = ("sku",)
    actions = (retire,)
    fields = ("sku", "name", "list_price", "retired_at", "import_link", "created_at", "updated_at")
    readonly_fields: ClassVar = ("retired_at", "import_link", "created_at", "updated_at")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BoundedChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Item], search_term: str
    ) -> tuple[QuerySet[Item], bool]:
        text = search_term.strip()
        return (queryset.filter(selectors.item_named(text)) if text else queryset), False

    def first_keys(self, rows: QuerySet[Item], request: HttpRequest) -> tuple[list[str], bool]:
        """Skus of the first rows that match, and whether these are all."""
        found, stopped = Keyset(self.ordering).read(rows, wanted=SHOWN_AT_MOST + 1, walked=Item.objects.all())
        return [item.sku for item in found[:SHOWN_AT_MOST]], stopped is None and len(found) <= SHOWN_AT_MOST

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, "sku") if obj is not None else self.readonly_fields

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except ApplicationError as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return response

    def save_model(self, request: HttpRequest, obj: Item, form: Any, change: bool) -> None:
        data = form.cleaned_data
        if change:
            changes = {name: data[name] for name in form.changed_data if name in ("name", "list_price")}
            saved = services.item_update(sku=obj.sku, changes=changes, now=timezone.now())
        else:
            saved = services.item_create(
                sku=obj.sku, name=data["name"], list_price=data["list_price"], now=timezone.now()
            )
        obj.__dict__.update(saved.__dict__)

    @admin.display(description="import")
    def import_link(self, item: Item) -> str:
        """The import that made or changed it."""
        return "" if item.import_id is None else _link("ingestion_import_change", item.import_id, f"#{item.import_id}")


def _link(page: str, key: Any, text: str) -> str:
    """A link to a page of the admin, if there is one: this app does not know who is above it."""
    try:
        address = reverse(f"admin:{page}", args=[quote(key)])
    except NoReverseMatch:
        return text
    return format_html('<a href="{}">{}</a>', address, text)


def _search(page: str, term: str, text: str) -> str:
    """A link to what a list of the admin finds, if there is such a list."""
    try:
        address = reverse(f"admin:{page}_changelist")
    except NoReverseMatch:
        return ""
    return format_html('<a href="{}?{}">{}</a>', address, urlencode({"q": term}), text)


def _price(price: Any) -> str:
    return "" if price is None else f"{price:f}"
