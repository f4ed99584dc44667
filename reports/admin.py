"""
Reports in the admin: sales as charts and tables, where the events of an order were read, how far the consumers are.

All of it is looked at, never edited. People see the sums that `/reports` shows them.
"""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from accounts.authentication import signed_in
from accounts.models import User
from accounts.selectors import visible_countries
from config.kernel.admin import ReadOnlyAdmin
from config.kernel.keyset import TIMEOUT_MS, Keyset, statement_timeout
from reports import selectors
from reports.chart import bars
from reports.history import history_of
from reports.models import Consumption, DaySum, HistoryEntry
from reports.selectors import Report
from reports.tracing.page import record_page
from reports.views import VIEW_ITEMS

PERIODS: Final = (7, 30, 90, 365)
PERIOD: Final = 30
ROWS_SHOWN: Final = 200


@admin.register(DaySum)
class SalesAdmin(ReadOnlyAdmin):
    """Orders and revenue of a period: charts by day, and tables by day, country, user and item."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            return super().changelist_view(request, extra_context)  # says no
        with statement_timeout(TIMEOUT_MS):
            context = _sales(signed_in(request), request.GET.dict())
        context |= {**self.admin_site.each_context(request), "title": "Sales", "opts": self.opts}
        return TemplateResponse(request, "admin/reports/daysum/change_list.html", context)


def _sales(person: User, asked: dict[str, str]) -> dict[str, Any]:
    """What the page shows."""
    tables = _tables(person)
    currencies = list(DaySum.objects.order_by("currency").values_list("currency", flat=True).distinct())
    currency = asked["currency"] if asked.get("currency") in currencies else (currencies or [""])[-1]
    days = int(asked["days"]) if asked.get("days", "") in map(str, PERIODS) else PERIOD
    by = asked["by"] if asked.get("by") in tables else "day"
    # The days up to the newest one: a file of last year's orders shows something, too.
    last = DaySum.objects.filter(currency=currency).exclude(orders=0, cancelled=0).order_by("-day").first()
    context = {"currencies": currencies, "currency": currency, "periods": PERIODS, "days": days, "by": by}
    context |= {"tables": list(tables), "last": last}
    if last is None:
        return context
    filters = {"currency": currency, "day__gt": last.day - timedelta(days=days), "day__lte": last.day}
    column = {"day": "day", "country": "country", "user": "user_id", "item": "sku"}[by]
    report = tables[by](filters)
    found, _ = Keyset([column]).read(report.rows, wanted=ROWS_SHOWN + 1, walked=report.walked)
    return {
        **context,
        "charts": _charts(tables["day"](filters), last.day, days, currency),
        "rows": [(row[column], *(row[f"sum_{name}"] for name in selectors.SUMMED)) for row in found[:ROWS_SHOWN]],
        "more": len(found) > ROWS_SHOWN,
    }


def _tables(person: User) -> dict[str, Callable[[dict[str, Any]], Report]]:
    """The reports that this person may see."""
    countries = visible_countries(person)
    tables: dict[str, Callable[[dict[str, Any]], Report]] = {
        "day": lambda filters: selectors.by_day(filters, countries),
        "country": lambda filters: selectors.by_country(filters, countries),
        "user": lambda filters: selectors.by_user(filters, countries),
    }
    if visible_countries(person, permission=VIEW_ITEMS) is None:
        tables["item"] = selectors.by_item
    return tables


def _charts(report: Report, last: date, days: int, currency: str) -> list[Any]:
    sums = {row["day"]: row for row in report.rows}
    dates = [last - timedelta(days=back) for back in reversed(range(days))]
    orders = [(day, int(sums[day]["sum_orders"]) if day in sums else 0) for day in dates]
    revenue = [(day, sums[day]["sum_revenue"] if day in sums else Decimal(0)) for day in dates]
    return [
        bars(orders, title="Orders", color="#417690"),
        bars(revenue, title=f"Revenue, {currency or 'currency not known'}", color="#79aec8"),
    ]


@admin.register(HistoryEntry)
class HistoryAdmin(ReadOnlyAdmin):
    """The events of one order, whose id is to be typed in: there are millions of others."""

    list_display = ("event_id", "version", "type", "topic", "partition", "offset", "consumed_at", "order_link")
    list_display_links = None
    search_fields = ("order_id",)
    search_help_text = "The whole id of an order"
    ordering: ClassVar[Any] = ("-version", "-consumed_at")

    def get_urls(self) -> list[URLPattern]:
        """The page of one record of a file, too."""
        page = self.admin_site.admin_view(record_page)
        return [path("record/", page, name="reports_historyentry_record"), *super().get_urls()]

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[HistoryEntry]", search_term: str
    ) -> "tuple[QuerySet[HistoryEntry], bool]":
        return (history_of(search_term) if search_term and "\x00" not in search_term else queryset.none()), False

    @admin.display(description="order")
    def order_link(self, entry: HistoryEntry) -> str:
        """The order's page."""
        return format_html(
            '<a href="{}">{}</a>', reverse("admin:orders_order_change", args=[quote(entry.order_id)]), entry.order_id
        )


@admin.register(Consumption)
class ConsumptionAdmin(ReadOnlyAdmin):
    """How far each partition of the topic has been read."""

    list_display = (
        "topic", "partition", "offset", "lag", "events", "dead_letters", "member", "last_event_at", "seen_at",
    )  # fmt: skip
    list_display_links = None
    ordering: ClassVar[Any] = ("topic", "partition")
