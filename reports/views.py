"""
/reports: what orders add up to. Read-only; the consumer of the orders' events writes it (docs/reports.md).

Days, countries and users are for whoever may view orders, and are of the orders they may view. Items need a permission
of their own: their sums are of all countries together.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import signed_in
from accounts.selectors import visible_countries
from config.kernel.api.queries import checked_query
from config.kernel.api.schema import problem_responses
from orders.access import VIEW
from reports import selectors
from reports.selectors import Report
from reports.serializers import (
    CountryReportFilters,
    CountrySales,
    DaySales,
    ItemReportFilters,
    ItemSales,
    ReportFilters,
    Sales,
    UserReportFilters,
    UserSales,
)

VIEW_ITEMS: Final = "reports.view_itemsum"
_SUMS: Final = {"currency": "EUR", "orders": 42, "cancelled": 1, "quantity": 97, "revenue": "3127.5000"}


def _example(**key: Any) -> OpenApiExample:
    (name,) = key
    return OpenApiExample(f"of one {name}", value={**_SUMS, **key}, response_only=True, status_codes=["200"])


class ReportView(GenericAPIView[Any]):
    """What the four have in common."""

    filters: ClassVar[type[ReportFilters]]
    serializer_class: type[Sales]
    orderings: ClassVar[Mapping[str, Sequence[str]]]

    def report(self, request: Request, filters: Mapping[str, Any]) -> Report:
        """The rows that the caller may see."""
        raise NotImplementedError

    def page(self, request: Request) -> Response:
        """One page of them."""
        self._report = self.report(request, checked_query(request, self.filters))
        rows = self.paginate_queryset(self._report.rows)
        return self.get_paginated_response(self.serializer_class(rows, many=True).data)

    def walked(self, ordering: str) -> "QuerySet[Any] | None":
        """What the paginator looks through."""
        return self._report.walked


class Days(ReportView):
    """Sums of days."""

    permissions: ClassVar = {"GET": VIEW}
    filters = CountryReportFilters
    serializer_class = DaySales
    orderings: ClassVar = {"-day": ("-day", "-currency"), "day": ("day", "currency")}

    @extend_schema(
        operation_id="reports_days",
        summary="Orders and revenue by day",
        description="Of the orders that you may see: all, or those of the countries of your regions.",
        parameters=[CountryReportFilters],
        responses={200: DaySales(many=True), **problem_responses(400, 406)},
        examples=[_example(day="2026-03-04")],
    )
    def get(self, request: Request) -> Response:
        """One page of days."""
        return self.page(request)

    def report(self, request: Request, filters: Mapping[str, Any]) -> Report:
        return selectors.by_day(filters, visible_countries(signed_in(request)))


class Countries(ReportView):
    """Sums of countries."""

    permissions: ClassVar = {"GET": VIEW}
    filters = CountryReportFilters
    serializer_class = CountrySales
    orderings: ClassVar = {"country": ("country", "currency"), "-country": ("-country", "-currency")}

    @extend_schema(
        operation_id="reports_countries",
        summary="Orders and revenue by country",
        description="Of orders of any day, or of those that `day__gte` and `day__lt` let through.",
        parameters=[CountryReportFilters],
        responses={200: CountrySales(many=True), **problem_responses(400, 406)},
        examples=[_example(country="DE")],
    )
    def get(self, request: Request) -> Response:
        """One page of countries."""
        return self.page(request)

    def report(self, request: Request, filters: Mapping[str, Any]) -> Report:
        return selectors.by_country(filters, visible_countries(signed_in(request)))


class Users(ReportView):
    """Sums of users."""

    permissions: ClassVar = {"GET": VIEW}
    filters = UserReportFilters
    serializer_class = UserSales
    orderings: ClassVar = {"user_id": ("user_id", "currency"), "-user_id": ("-user_id", "-currency")}

    @extend_schema(
        operation_id="reports_users",
        summary="Orders and revenue by user",
        description="Without orders of guests. Who sees the orders of some countries sees the sums of these.",
        parameters=[UserReportFilters],
        responses={200: UserSales(many=True), **problem_responses(400, 406)},
        examples=[_example(user_id="u101")],
    )
    def get(self, request: Request) -> Response:
        """One page of users."""
        return self.page(request)

    def report(self, request: Request, filters: Mapping[str, Any]) -> Report:
        return selectors.by_user(filters, visible_countries(signed_in(request)))


class Items(ReportView):
    """Sums of items."""

    permissions: ClassVar = {"GET": VIEW_ITEMS}
    filters = ItemReportFilters
    serializer_class = ItemSales
    orderings: ClassVar = {"sku": ("sku", "currency"), "-sku": ("-sku", "-currency")}

    @extend_schema(
        operation_id="reports_items",
        summary="Orders and revenue by item",
        description="Of all countries together, so nobody sees it whose permission is limited to some.",
        parameters=[ItemReportFilters],
        responses={200: ItemSales(many=True), **problem_responses(400, 406)},
        examples=[_example(sku="Shoes")],
    )
    def get(self, request: Request) -> Response:
        """One page of items."""
        return self.page(request)

    def report(self, request: Request, filters: Mapping[str, Any]) -> Report:
        if visible_countries(signed_in(request), permission=VIEW_ITEMS) is not None:
            raise PermissionDenied("Sums of items are of all countries; your roles are limited to some.")
        return selectors.by_item(filters)
