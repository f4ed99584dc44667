"""The reports as the API shows them, and what can be asked of them."""

import re
from datetime import date
from typing import Any, Final

from rest_framework import serializers

from config.kernel.api.strict import KeyField, StrictSerializer
from orders.serializers import CountryField

DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class DayField(serializers.DateField):
    """A day, as 2026-03-04."""

    def to_internal_value(self, value: Any) -> date:
        if not isinstance(value, str) or not DAY.fullmatch(value):
            self.fail("invalid", format="2026-03-04")
        return super().to_internal_value(value)


class ReportFilters(StrictSerializer):
    """Query parameters of all reports."""

    currency = serializers.RegexField(r"^[A-Z]{3}\Z", required=False)
    day__gte = DayField(required=False, help_text="from this day on (UTC)")
    day__lt = DayField(required=False, help_text="before this day (UTC)")


class CountryReportFilters(ReportFilters):
    """Query parameters of reports that tell countries apart."""

    country = CountryField(required=False)


class UserReportFilters(ReportFilters):
    """Query parameters of /reports/users."""

    user_id = KeyField(required=False)


class ItemReportFilters(ReportFilters):
    """Query parameters of /reports/items."""

    sku = KeyField(required=False)


class Sales(serializers.Serializer[Any]):
    """Sums in one currency."""

    currency = serializers.CharField(help_text="ISO 4217; empty: not known")
    orders = serializers.IntegerField(source="sum_orders", help_text="without cancelled ones")
    cancelled = serializers.IntegerField(source="sum_cancelled", help_text="cancelled orders, in no other sum")
    quantity = serializers.IntegerField(source="sum_quantity")
    revenue = serializers.DecimalField(
        max_digits=38, decimal_places=4, source="sum_revenue", help_text="of lines with a price"
    )


class DaySales(Sales):
    """A day."""

    day = serializers.DateField(help_text="of ordered_at in UTC; of created_at where that is not known")


class CountrySales(Sales):
    """A country."""

    country = serializers.CharField(help_text="empty: not known")


class UserSales(Sales):
    """A user."""

    user_id = serializers.CharField()


class ItemSales(Sales):
    """An item."""

    sku = serializers.CharField()
