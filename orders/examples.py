"""Examples of requests and answers in the schema."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

_SUMMARY: Final[dict[str, Any]] = {
    "id": "o553",
    "user_id": "u101",
    "status": "placed",
    "ordered_at": "2026-03-04T09:12:00Z",
    "country": "DE",
    "currency": "EUR",
    "version": 1,
    "import_id": None,
    "attributes": None,
    "created_at": "2026-03-04T09:12:00.123456Z",
    "updated_at": "2026-03-04T09:12:00.123456Z",
}
_LINE: Final = {"line_no": 1, "sku": "Shoes", "quantity": 2, "unit_price": "39.9000"}
_ORDER: Final = {**_SUMMARY, "lines": [_LINE], "lines_complete": True, "lines_url": "/orders/o553/lines"}
_ITEM: Final = {
    "sku": "Shoes",
    "name": "Running shoes",
    "list_price": "39.9000",
    "retired_at": None,
    "import_id": None,
    "created_at": "2026-03-04T09:12:00.123456Z",
    "updated_at": "2026-03-04T09:12:00.123456Z",
}


def _sent(name: str, value: Any) -> OpenApiExample:
    return OpenApiExample(name, value=value, request_only=True)


def _answered(name: str, value: Any) -> OpenApiExample:
    return OpenApiExample(name, value=value, response_only=True, status_codes=["200", "201"])


ORDER: Final = _answered("order", _ORDER)
ORDER_SUMMARY: Final = _answered("orders", _SUMMARY)
LINE: Final = _answered("lines", _LINE)
ITEM: Final = _answered("item", _ITEM)
SHORT_ORDER: Final = _sent("one line", {"id": "o553", "item": "Shoes", "quantity": 2, "user_id": "u101"})
ORDER_WITH_LINES: Final = _sent(
    "several lines",
    {
        "user_id": "u101",
        "country": "DE",
        "currency": "EUR",
        "lines": [{"sku": "Shoes", "quantity": 2, "unit_price": "39.90"}, {"sku": "Laces", "quantity": 1}],
    },
)
AMENDMENT: Final = _sent(
    "amendment", {"country": "AT", "lines": [{"line_no": 1, "quantity": 3}, {"sku": "Laces", "quantity": 1}]}
)
STATUS: Final = _sent("status", {"status": "paid"})
NEW_ITEM: Final = _sent("item", {"sku": "Shoes", "name": "Running shoes", "list_price": "39.90"})
ITEM_CHANGE: Final = _sent("new price", {"list_price": "44.90"})
