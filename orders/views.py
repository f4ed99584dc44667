"""
/orders and /items. `GET /orders/{id}` is answered by `order` from the cache; everything else by DRF's views.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from structlog.contextvars import bind_contextvars

from accounts.authentication import bearer_token, token_digest
from accounts.identities import identity_and
from config.kernel.api.conditional import etag_of, expected_versions, matches
from config.kernel.api.idempotency import once
from config.kernel.api.keys import key_url
from config.kernel.api.pagination import read_ordering
from config.kernel.api.permissions import SIGNED_IN
from config.kernel.api.queries import checked_query
from config.kernel.api.schema import (
    ETAG,
    IDEMPOTENCY,
    IF_MATCH,
    IF_MATCH_OPTIONAL,
    IF_NONE_MATCH,
    LOCATION,
    problem_responses,
)
from config.kernel.caching import VALUE, cache_key
from config.kernel.keyset import TIMEOUT_MS, statement_timeout
from orders import examples, selectors, services
from orders.access import ADD, CHANGE, access_of, access_of_identity
from orders.caching import ORDER, Rendered, item_rendered, item_version, parse
from orders.documents import describe_item, order_document
from orders.errors import ItemNotFoundError
from orders.models import Item, Order, OrderLine
from orders.serializers import (
    ItemAmendment,
    ItemFilters,
    ItemInput,
    ItemSerializer,
    LineSerializer,
    NewOrder,
    OrderAmendment,
    OrderFilters,
    OrderSerializer,
    OrderSummary,
    StatusInput,
    new_order,
)

JSON: Final = "application/json"
NOT_MODIFIED: Final = {304: None}


class OrderList(GenericAPIView[Order]):
    """Orders."""

    permissions: ClassVar = {"GET": SIGNED_IN, "POST": ADD}
    orderings: Mapping[str, Sequence[str]] = selectors.ORDERINGS
    serializer_class = OrderSummary

    @extend_schema(
        operation_id="orders_list",
        summary="List orders, without their lines",
        description="Who may not see orders sees their own; who sees those of some countries sees these and their own. "
        "`created_at` and `ordered_at` can be sorted by where other filters leave few enough orders.",
        parameters=[OrderFilters],
        responses={200: OrderSummary(many=True), **problem_responses(400, 406)},
        examples=[examples.ORDER_SUMMARY],
    )
    def get(self, request: Request) -> Response:
        """One page of orders."""
        filters, access = checked_query(request, OrderFilters), access_of(request.user)
        ordering = read_ordering(request, self)[0]
        with statement_timeout(TIMEOUT_MS):
            self._list = selectors.orders_list(filters, access, ordering=ordering)
            self.orderings = {ordering: self._list.columns}
            page = self.paginate_queryset(self._list.rows)
        return self.get_paginated_response(OrderSummary(page, many=True).data)

    def walked(self, ordering: str) -> QuerySet[Order] | None:
        """What the paginator looks through."""
        return self._list.walked

    @extend_schema(
        operation_id="orders_place",
        summary="Place an order",
        description="With `lines`, or in short form with one `item`. An unknown item is made, with that text as its "
        "sku and name. A line without a price takes the item's list price; without that, its price is null: not known.",
        parameters=[*IDEMPOTENCY, ETAG, LOCATION],
        request=NewOrder,
        responses={201: OrderSerializer, **problem_responses(400, 406, 409, 413, 415, 422)},
        examples=[examples.SHORT_ORDER, examples.ORDER_WITH_LINES, examples.ORDER],
    )
    def post(self, request: Request) -> Response:
        """Place one order."""
        serializer = new_order(request.data)
        serializer.is_valid(raise_exception=True)
        access = access_of(request.user, writing=ADD)

        def place() -> Response:
            order = services.order_place(draft=serializer.draft(), access=access, now=timezone.now())
            return _order_response(order, status=201)

        return once(request, place)


class OrderDetail(APIView):
    """One order."""

    permissions: ClassVar = {"GET": SIGNED_IN, "PATCH": CHANGE}

    @extend_schema(
        operation_id="orders_get",
        summary="Get an order with its first 1,000 lines",
        parameters=[IF_NONE_MATCH, ETAG],
        responses={200: OrderSerializer, **NOT_MODIFIED, **problem_responses(404, 406)},
        examples=[examples.ORDER],
    )
    def get(self, request: Request, id: str) -> HttpResponse:
        """The order, if the caller may see it."""
        return _rendered_response(request, selectors.order_seen(id, access_of(request.user)))

    @extend_schema(
        operation_id="orders_amend",
        summary="Amend an order",
        description="What is not given stays. Lines are changed or added by their number. A body that changes nothing "
        "makes no new version.",
        parameters=[IF_MATCH, ETAG],
        request=OrderAmendment,
        responses={200: OrderSerializer, **problem_responses(400, 404, 406, 409, 412, 413, 415, 428)},
        examples=[examples.AMENDMENT, examples.ORDER],
    )
    def patch(self, request: Request, id: str) -> Response:
        """Change it, if nobody else did meanwhile."""
        expected = _expected_numbers(request, required=True)
        serializer = OrderAmendment(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            order = services.order_amend(
                order_id=id,
                amendment=serializer.amendment(),
                expected=expected,
                access=access_of(request.user, writing=CHANGE),
                now=timezone.now(),
            )
            return _order_response(order)


order_detail: Final = OrderDetail.as_view()


def order(request: HttpRequest, id: str) -> HttpResponse:
    """
    `GET /orders/{id}` of a caller with a token, from the cache: one round trip to Redis, no query. Everything else, and
    everything that is not so simple, is for `OrderDetail`.
    """
    if request.method == "GET" and not request.META.get("QUERY_STRING"):
        accept, token = request.META.get("HTTP_ACCEPT", "*/*"), bearer_token(request)
        if token and ("*/*" in accept or JSON in accept):
            identity, (entry,) = identity_and(token_digest(token), [cache_key(ORDER, id)])
            if identity is not None and entry is not None and entry.startswith(VALUE):
                found = parse(entry[len(VALUE) :])
                if access_of_identity(identity).may_read(country=found.country, user_id=found.user_id):
                    bind_contextvars(user_id=identity.user_id)
                    return _rendered_response(request, found)
    return order_detail(request, id=id)


# What Django and the schema look for in a view.
order.csrf_exempt = True  # type: ignore[attr-defined]
order.cls = OrderDetail  # type: ignore[attr-defined]
order.initkwargs = {}  # type: ignore[attr-defined]


class OrderLines(GenericAPIView[OrderLine]):
    """Lines of one order."""

    permissions: ClassVar = {"GET": SIGNED_IN}
    orderings: ClassVar = {"line_no": ("line_no",), "-line_no": ("-line_no",)}
    serializer_class = LineSerializer

    @extend_schema(
        operation_id="orders_lines",
        summary="List the lines of an order",
        responses={200: LineSerializer(many=True), **problem_responses(400, 404, 406)},
        examples=[examples.LINE],
    )
    def get(self, request: Request, id: str) -> Response:
        """One page of lines."""
        checked_query(request)
        selectors.order_seen(id, access_of(request.user))
        page = self.paginate_queryset(selectors.order_lines(id))
        return self.get_paginated_response(LineSerializer(page, many=True).data)


class OrderStatus(APIView):
    """The status of one order."""

    permissions: ClassVar = {"POST": CHANGE, "PUT": CHANGE}

    @extend_schema(
        operation_id="orders_change_status",
        summary="Take an order on: placed → paid → shipped → delivered; cancelled from the first two",
        parameters=[IF_MATCH_OPTIONAL, ETAG],
        request=StatusInput,
        responses={200: OrderSerializer, **problem_responses(400, 404, 406, 409, 412, 413, 415)},
        examples=[examples.STATUS, examples.ORDER],
    )
    def post(self, request: Request, id: str) -> Response:
        """Change it one step; the same status again changes nothing."""
        serializer = StatusInput(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            order = services.order_change_status(order_id=id, **serializer.validated_data, **_conditions(request))
            return _order_response(order)

    @extend_schema(
        operation_id="orders_set_status",
        summary="The same as POST",
        parameters=[IF_MATCH_OPTIONAL, ETAG],
        request=StatusInput,
        responses={200: OrderSerializer, **problem_responses(400, 404, 406, 409, 412, 413, 415)},
        examples=[examples.STATUS, examples.ORDER],
    )
    def put(self, request: Request, id: str) -> Response:
        """The same."""
        return self.post(request, id)


class OrderCancel(APIView):
    """Cancelling one order."""

    permissions: ClassVar = {"POST": CHANGE}

    @extend_schema(
        operation_id="orders_cancel",
        summary="Cancel a placed or paid order",
        parameters=[IF_MATCH_OPTIONAL, ETAG],
        request=None,
        responses={200: OrderSerializer, **problem_responses(404, 406, 409, 412)},
        examples=[examples.ORDER],
    )
    def post(self, request: Request, id: str) -> Response:
        """Cancel it; one that is cancelled stays so."""
        with transaction.atomic():
            return _order_response(services.order_cancel(order_id=id, **_conditions(request)))


class ItemList(GenericAPIView[Item]):
    """Items."""

    permissions: ClassVar = {"GET": "orders.view_item", "POST": "orders.add_item"}
    orderings: ClassVar = {"sku": ("sku",), "-sku": ("-sku",)}
    serializer_class = ItemSerializer

    @extend_schema(
        operation_id="items_list",
        summary="List items",
        parameters=[ItemFilters],
        responses={200: ItemSerializer(many=True), **problem_responses(400, 406)},
        examples=[examples.ITEM],
    )
    def get(self, request: Request) -> Response:
        """One page of items."""
        self._filters = checked_query(request, ItemFilters)
        page = self.paginate_queryset(selectors.items(self._filters))
        return self.get_paginated_response([describe_item(item) for item in page or []])

    def walked(self, ordering: str) -> QuerySet[Item] | None:
        """No index tells retired items apart."""
        return Item.objects.all() if self._filters else None

    @extend_schema(
        operation_id="items_create",
        summary="Create an item",
        parameters=[*IDEMPOTENCY, ETAG, LOCATION],
        request=ItemInput,
        responses={201: ItemSerializer, **problem_responses(400, 406, 409, 413, 415, 422)},
        examples=[examples.NEW_ITEM, examples.ITEM],
    )
    def post(self, request: Request) -> Response:
        """Make one item."""
        serializer = ItemInput(data=request.data)
        serializer.is_valid(raise_exception=True)

        def create() -> Response:
            item = services.item_create(**serializer.validated_data, now=timezone.now())
            return _item_response(item, status=201)

        return once(request, create)


class ItemDetail(APIView):
    """One item."""

    permissions: ClassVar = {"GET": "orders.view_item", "PATCH": "orders.change_item"}

    @extend_schema(
        operation_id="items_get",
        summary="Get an item",
        parameters=[IF_NONE_MATCH, ETAG],
        responses={200: ItemSerializer, **NOT_MODIFIED, **problem_responses(404, 406)},
        examples=[examples.ITEM],
    )
    def get(self, request: Request, sku: str) -> HttpResponse:
        """The item."""
        found = item_rendered(sku)
        if found is None:
            raise ItemNotFoundError(sku=sku)
        return _rendered_response(request, found)

    @extend_schema(
        operation_id="items_update",
        summary="Change an item's name or list price",
        description="Lines that were ordered keep their prices.",
        parameters=[IF_MATCH, ETAG],
        request=ItemAmendment,
        responses={200: ItemSerializer, **problem_responses(400, 404, 406, 412, 413, 415, 428)},
        examples=[examples.ITEM_CHANGE, examples.ITEM],
    )
    def patch(self, request: Request, sku: str) -> Response:
        """Change it, if nobody else did meanwhile."""
        expected = expected_versions(request)
        serializer = ItemAmendment(data=request.data)
        serializer.is_valid(raise_exception=True)
        changes = serializer.validated_data
        return _item_response(services.item_update(sku=sku, changes=changes, expected=expected, now=timezone.now()))


class ItemRetire(APIView):
    """Retiring one item."""

    permissions: ClassVar = {"POST": "orders.change_item"}

    @extend_schema(
        operation_id="items_retire",
        summary="Retire an item: it stays, and cannot be ordered any more",
        parameters=[IF_MATCH_OPTIONAL, ETAG],
        request=None,
        responses={200: ItemSerializer, **problem_responses(404, 406, 412)},
        examples=[examples.ITEM],
    )
    def post(self, request: Request, sku: str) -> Response:
        """Retire it; one that is retired stays so."""
        expected = expected_versions(request, required=False)
        return _item_response(services.item_retire(sku=sku, expected=expected, now=timezone.now()))


def _conditions(request: Request) -> dict[str, Any]:
    return {
        "expected": _expected_numbers(request, required=False),
        "access": access_of(request.user, writing=CHANGE),
        "now": timezone.now(),
    }


def _expected_numbers(request: Request, *, required: bool) -> frozenset[int] | None:
    tags = expected_versions(request, required=required)
    return None if tags is None else frozenset(int(tag) for tag in tags if tag.isascii() and tag.isdigit())


def _order_response(order: Order, *, status: int = 200) -> Response:
    """An order as its transaction leaves it."""
    document = order_document(order.id)
    headers = {"ETag": etag_of(order.version)}
    if status == 201:
        headers["Location"] = key_url("/orders", order.id)
    return Response(document, status=status, headers=headers)


def _item_response(item: Item, *, status: int = 200) -> Response:
    document = describe_item(item)
    headers = {"ETag": etag_of(item_version(document))}
    if status == 201:
        headers["Location"] = key_url("/items", item.sku)
    return Response(document, status=status, headers=headers)


def _rendered_response(request: HttpRequest | Request, found: Rendered) -> HttpResponse:
    etag = f'"{found.version}"'
    known = request.META.get("HTTP_IF_NONE_MATCH")
    if known and matches(known, etag):
        response = HttpResponse(status=304)
        del response.headers["Content-Type"]
    else:
        response = HttpResponse(found.body, content_type=JSON)
    response.headers["ETag"] = etag
    # Whoever keeps it asks again: it is for this caller only, and may have changed.
    response.headers["Cache-Control"] = "private, no-cache"
    return response
