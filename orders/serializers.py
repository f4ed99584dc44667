"""Orders and items as the API takes and shows them."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from django.core.validators import RegexValidator
from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework import serializers

from config.kernel.api.strict import (
    FlagField,
    JsonObjectField,
    KeyField,
    MomentField,
    PriceField,
    StrictSerializer,
    TextField,
    WholeNumberField,
)
from orders import states
from orders.currencies import CURRENCIES
from orders.drafts import UNSET, Amendment, LineDraft, OrderDraft
from orders.lines import MAX_LINE_NO

MAX_INT32: Final = 2**31 - 1
MAX_INT64: Final = 2**63 - 1
MAX_LINES: Final = 10_000
"""Lines in one request; longer orders grow by amending."""
MAX_ATTRIBUTES_BYTES: Final = 64 << 10
PRICE_HELP: Final = "without it: the item's list price, if it has one"
_CONTROLS: Final = r"\u0000-\u001f\u007f-\u009f"
COUNTRY_PATTERN: Final = rf"^([^\s{_CONTROLS}]([^{_CONTROLS}]*[^\s{_CONTROLS}])?)?$"
NAME_PATTERN: Final = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"


class CountryField(TextField):
    """Two letters (ISO 3166-1, written in capitals) or a name; empty: not known."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=64, allow_blank=True, **options)
        message = "No control characters, no spaces at the edges."
        self.validators.append(RegexValidator(COUNTRY_PATTERN.replace("$", r"\Z"), message))

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        return text.upper() if len(text) == 2 and text.isascii() else text


class NameField(TextField):
    """A name: at most 255 characters; tabs and line breaks are the only control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=255, allow_blank=True, **options)
        self.validators.append(RegexValidator(NAME_PATTERN.replace("$", r"\Z"), "No control characters."))


class LineInput(StrictSerializer):
    """A line of a new order; `item` is another name of `sku`."""

    one_of: ClassVar[Sequence[str]] = ("sku", "item")

    sku = KeyField(required=False)
    item = KeyField(required=False, help_text="another name of sku")
    quantity = WholeNumberField(min_value=1, max_value=MAX_INT32)
    unit_price = PriceField(required=False, allow_null=True, help_text=PRICE_HELP)
    line_no = WholeNumberField(
        required=False, min_value=1, max_value=MAX_LINE_NO, help_text="without it: the next after the highest"
    )


class HeaderInput(StrictSerializer):
    """What may change about an order as a whole."""

    country = CountryField(required=False)
    currency = serializers.ChoiceField(CURRENCIES, required=False, allow_blank=True, help_text="ISO 4217")
    ordered_at = MomentField(required=False, help_text="without it: now")
    attributes = JsonObjectField(required=False, allow_null=True, max_bytes=MAX_ATTRIBUTES_BYTES)


class OrderInput(HeaderInput):
    """A new order with lines."""

    id = KeyField(required=False, help_text="without it: one is made")
    user_id = KeyField()
    lines = LineInput(many=True, min_length=1, max_length=MAX_LINES)  # type: ignore[call-arg]

    def draft(self) -> OrderDraft:
        """The validated order."""
        values = dict(self.validated_data)
        return OrderDraft(**{**values, "lines": [_line(line) for line in values["lines"]]})


class ShortOrderInput(HeaderInput):
    """A new order with one line."""

    id = KeyField(required=False, help_text="without it: one is made")
    user_id = KeyField()
    item = KeyField(help_text="the item's sku; an unknown one is made")
    quantity = WholeNumberField(min_value=1, max_value=MAX_INT32)
    unit_price = PriceField(required=False, allow_null=True, help_text=PRICE_HELP)

    def draft(self) -> OrderDraft:
        """The validated order."""
        values = dict(self.validated_data)
        line = {name: values.pop(name) for name in ("item", "quantity", "unit_price") if name in values}
        return OrderDraft(**values, lines=[_line(line)])


NewOrder: Final = PolymorphicProxySerializer(
    component_name="NewOrder", serializers=[ShortOrderInput, OrderInput], resource_type_field_name=None
)


def new_order(data: Any) -> OrderInput | ShortOrderInput:
    """The serializer for this body: with `lines`, or the short form."""
    return OrderInput(data=data) if isinstance(data, dict) and "lines" in data else ShortOrderInput(data=data)


class LineAmendment(LineInput):
    """A line to be changed or added; of a line that exists, what is not given stays."""

    one_of: ClassVar[Sequence[str]] = ()
    not_both: ClassVar[Sequence[str]] = ("sku", "item")

    quantity = WholeNumberField(required=False, min_value=1, max_value=MAX_INT32)
    unit_price = PriceField(required=False, allow_null=True, help_text="null: not known")


class OrderAmendment(HeaderInput):
    """Changes to an order; what is not given stays."""

    immutable: ClassVar = {
        "id": "The id of an order never changes.",
        "user_id": "An order never changes its user.",
        "status": "Change the status at …/status, or cancel at …/cancel.",
        "version": "Say in If-Match which version you know.",
    }

    lines = LineAmendment(many=True, required=False, max_length=MAX_LINES)  # type: ignore[call-arg]
    remove_lines = serializers.ListField(
        child=WholeNumberField(min_value=1, max_value=MAX_LINE_NO), required=False, max_length=MAX_LINES
    )
    replace_lines = FlagField(required=False, default=False, help_text="remove the lines that `lines` does not name")

    def amendment(self) -> Amendment:
        """The validated changes."""
        values = dict(self.validated_data)
        names = ("lines", "remove_lines", "replace_lines")
        changes = {name: values.pop(name) for name in names if name in values}
        changes["lines"] = [_line(line) for line in changes.get("lines", ())]
        return Amendment(header=values, **changes)


class StatusInput(StrictSerializer):
    """Where an order has got to."""

    status = serializers.ChoiceField(states.ALL)


class ItemInput(StrictSerializer):
    """A new item."""

    sku = KeyField()
    name = NameField(required=False, help_text="without it: the sku")
    list_price = PriceField(required=False, allow_null=True)


class ItemAmendment(StrictSerializer):
    """Changes to an item; what is not given stays."""

    immutable: ClassVar = {
        "sku": "The sku of an item never changes.",
        "retired_at": "Retire an item at …/retire.",
    }

    name = NameField(required=False)
    list_price = PriceField(required=False, allow_null=True)


class LineSerializer(serializers.Serializer[Any]):
    """One line of an order."""

    line_no = serializers.IntegerField()
    sku = serializers.CharField(source="item_id")
    quantity = serializers.IntegerField()
    unit_price = serializers.DecimalField(max_digits=18, decimal_places=4, allow_null=True, help_text="null: not known")


class OrderSummary(serializers.Serializer[Any]):
    """An order without its lines."""

    id = serializers.CharField()
    user_id = serializers.CharField(allow_null=True, help_text="null: a guest")
    status = serializers.ChoiceField(states.ALL)
    ordered_at = serializers.DateTimeField(allow_null=True)
    country = serializers.CharField()
    currency = serializers.CharField()
    version = serializers.IntegerField(help_text="the ETag is made of it")
    import_id = serializers.IntegerField(allow_null=True, help_text="the import that wrote it last")
    attributes = serializers.DictField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class OrderSerializer(OrderSummary):
    """An order with its first 1,000 lines."""

    lines = LineSerializer(many=True)
    lines_complete = serializers.BooleanField(help_text="false: there are more, at lines_url")
    lines_url = serializers.CharField()


class ItemSerializer(serializers.Serializer[Any]):
    """What is sold."""

    sku = serializers.CharField()
    name = serializers.CharField()
    list_price = serializers.DecimalField(max_digits=18, decimal_places=4, allow_null=True)
    retired_at = serializers.DateTimeField(allow_null=True, help_text="when it stopped being sold")
    import_id = serializers.IntegerField(allow_null=True, help_text="the import that made or changed it")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class OrderFilters(StrictSerializer):
    """Query parameters of /orders."""

    user_id = KeyField(required=False)
    status = serializers.ChoiceField(states.ALL, required=False)
    country = CountryField(required=False)
    currency = serializers.RegexField(r"^[A-Z]{3}\Z", required=False)
    import_id = serializers.IntegerField(required=False, min_value=1, max_value=MAX_INT64)
    created_at__gte = MomentField(required=False)
    created_at__lt = MomentField(required=False)
    ordered_at__gte = MomentField(required=False)
    ordered_at__lt = MomentField(required=False)


class ItemFilters(StrictSerializer):
    """Query parameters of /items."""

    retired = serializers.ChoiceField(("true", "false"), required=False)


def _line(values: dict[str, Any]) -> LineDraft:
    return LineDraft(
        sku=values.get("sku", values.get("item")),
        quantity=values.get("quantity"),
        unit_price=values.get("unit_price", UNSET),
        line_no=values.get("line_no"),
    )
