"""
Changing orders and items.

Every service owns its transaction and takes the row lock of the order first, then makes missing items in the order of
their keys; so does an import, and nobody waits in a circle. The outbox entry is written in the same transaction, under
that lock. A change that changes nothing makes no version and no event. Marking the cache is the last thing to do.
"""

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db import IntegrityError, connection, transaction

from config.kernel.errors import violated_constraint
from config.kernel.ids import new_id
from orders import states
from orders.access import EVERYWHERE, Access
from orders.caching import item_version, items_changed, orders_changed
from orders.documents import describe_item, queries
from orders.drafts import Amendment, OrderDraft
from orders.errors import (
    ItemChangedError,
    ItemExistsError,
    ItemNotFoundError,
    OrderChangedError,
    OrderExistsError,
    OrderNotAmendableError,
    OrderNotCancellableError,
    OrderNotFoundError,
    OrderWithoutLinesError,
    OutsideRegionError,
    TransitionNotAllowedError,
    UnknownUserError,
)
from orders.events import AMENDED, CANCELLED, PLACED, STATUS_CHANGED, keep, pending_event, tell
from orders.lines import new_line, number_lines, orderable_items, plan_lines
from orders.models import Item, Order, OrderLine
from orders.outbox.events import Event

API: Final = "api"
"""Source of an outbox entry, unless told otherwise."""
LINE_FIELDS: Final = ["item", "quantity", "unit_price", "import_id", "record"]


def order_place(*, draft: OrderDraft, access: Access = EVERYWHERE, source: str = API, now: datetime) -> Order:
    """
    Place an order.

    Unknown items are made, with their sku as the name; a line without a price takes its item's list price.

    Args:
        source: who does it, for the outbox (at most 64 characters).
        now: timezone-aware UTC; also when the order was made, if the draft does not say.
    Raises:
        OrderExistsError, UnknownUserError, ItemRetiredError, OutsideRegionError, RepeatedLineError,
        IncompleteLineError, OrderWithoutLinesError.
    """
    order = Order(
        id=draft.id or new_id(now=now),
        user_id=draft.user_id,
        status=states.PLACED,
        ordered_at=draft.ordered_at or now,
        country=draft.country,
        currency=draft.currency,
        attributes=draft.attributes,
        created_at=now,
        updated_at=now,
    )
    if not access.may_write(country=order.country):
        raise OutsideRegionError(country=order.country)
    if not draft.lines:
        raise OrderWithoutLinesError(order_id=order.id)
    numbered = number_lines(draft.lines, after=0)
    with transaction.atomic():
        _hold_user(draft.user_id)
        items = orderable_items((line.draft.sku for line in numbered if line.draft.sku is not None), now=now)
        _insert(order)
        OrderLine.objects.bulk_create(new_line(order.id, line, items) for line in numbered)
        _tell(order, PLACED, source)
    return order


def order_amend(
    *,
    order_id: str,
    amendment: Amendment,
    expected: Collection[int] | None = None,
    access: Access = EVERYWHERE,
    source: str = API,
    now: datetime,
) -> Order:
    """
    Change the header and lines of a placed or paid order.

    Args:
        expected: the versions of which the caller knows one; None: any.
        source, now: as for `order_place`.
    Raises:
        OrderNotFoundError, OrderChangedError, OrderNotAmendableError, OutsideRegionError, ItemRetiredError,
        RepeatedLineError, IncompleteLineError, UnknownLineError, LineNumbersUsedUpError, OrderWithoutLinesError.
    """
    with transaction.atomic():
        order = _lock(order_id, access=access, expected=expected)
        if order.status not in states.AMENDABLE:
            raise OrderNotAmendableError(order_id=order.id, order_status=order.status)
        header = {name: value for name, value in amendment.header.items() if not _same(getattr(order, name), value)}
        if not access.may_write(country=header.get("country", order.country)):
            raise OutsideRegionError(country=header["country"])
        unsent = _unsent(order)
        if _amend_lines(order, amendment, now=now) or header:
            _write(order, AMENDED, source, now=now, values=header, unsent=unsent)
    return order


def order_change_status(
    *,
    order_id: str,
    status: str,
    expected: Collection[int] | None = None,
    access: Access = EVERYWHERE,
    source: str = API,
    now: datetime,
) -> Order:
    """
    Take an order one step on (see `orders.states`). Arguments as for `order_amend`.

    Raises:
        OrderNotFoundError, OrderChangedError, OutsideRegionError.
        TransitionNotAllowedError: the step does not exist.
        OrderNotCancellableError: the same, for `cancelled`.
    """
    if status == states.CANCELLED:
        return order_cancel(order_id=order_id, expected=expected, access=access, source=source, now=now)
    with transaction.atomic():
        order = _lock(order_id, access=access, expected=expected)
        if status == order.status:
            return order
        if status not in states.TRANSITIONS[order.status]:
            possible = ", ".join(sorted(states.TRANSITIONS[order.status])) or "none"
            raise TransitionNotAllowedError(
                order_id=order.id, order_status=order.status, wanted=status, possible=possible
            )
        _write(order, STATUS_CHANGED, source, now=now, values={"status": status}, unsent=_unsent(order))
    return order


def order_cancel(
    *,
    order_id: str,
    expected: Collection[int] | None = None,
    access: Access = EVERYWHERE,
    source: str = API,
    now: datetime,
) -> Order:
    """
    Cancel a placed or paid order; one that is cancelled stays so. Arguments as for `order_amend`.

    Raises:
        OrderNotFoundError, OrderChangedError, OutsideRegionError.
        OrderNotCancellableError: it is shipped or delivered.
    """
    with transaction.atomic():
        order = _lock(order_id, access=access, expected=expected)
        if order.status == states.CANCELLED:
            return order
        if order.status not in states.CANCELLABLE:
            raise OrderNotCancellableError(order_id=order.id, order_status=order.status)
        _write(order, CANCELLED, source, now=now, values={"status": states.CANCELLED}, unsent=_unsent(order))
    return order


def item_create(*, sku: str, name: str = "", list_price: Decimal | None = None, now: datetime) -> Item:
    """
    Make an item; without a name it is called by its sku.

    Raises:
        ItemExistsError: there is one.
    """
    item = Item(sku=sku, name=name or sku, list_price=list_price, created_at=now, updated_at=now)
    with transaction.atomic():
        try:
            item.save(force_insert=True)
        except IntegrityError as error:
            if violated_constraint(error) == "orders_item_pkey":
                raise ItemExistsError(sku=sku) from error
            raise
    return item


def item_update(
    *, sku: str, changes: Mapping[str, Any], expected: Collection[str] | None = None, now: datetime
) -> Item:
    """
    Change an item's `name` or `list_price`; lines that were ordered keep their prices.

    Args:
        expected: the versions (`orders.caching.item_version`) of which the caller knows one; None: any.
    Raises:
        ItemNotFoundError, ItemChangedError.
    """
    with transaction.atomic():
        item = _lock_item(sku, expected)
        _write_item(item, {name: value for name, value in changes.items() if getattr(item, name) != value}, now=now)
    return item


def item_retire(*, sku: str, expected: Collection[str] | None = None, now: datetime) -> Item:
    """
    Stop selling an item; one that is retired stays so. Arguments and errors as for `item_update`.
    """
    with transaction.atomic():
        item = _lock_item(sku, expected)
        _write_item(item, {"retired_at": now} if item.retired_at is None else {}, now=now)
    return item


def _hold_user(user_id: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(queries.user_hold, {"id": user_id})
        if cursor.fetchone() is None:
            raise UnknownUserError(user_id=user_id)


def _insert(order: Order) -> None:
    try:
        order.save(force_insert=True)
    except IntegrityError as error:
        if violated_constraint(error) == "orders_order_pkey":
            raise OrderExistsError(order_id=order.id) from error
        raise


def _lock(order_id: str, *, access: Access, expected: Collection[int] | None) -> Order:
    order = Order.objects.select_for_update(no_key=True).filter(pk=order_id).first()
    if order is None or not access.may_read(country=order.country, user_id=order.user_id):
        raise OrderNotFoundError(order_id=order_id)
    if not access.may_write(country=order.country):
        raise OutsideRegionError(country=order.country)
    if expected is not None and order.version not in expected:
        raise OrderChangedError(order_id=order.id, version=order.version)
    return order


def _amend_lines(order: Order, amendment: Amendment, *, now: datetime) -> bool:
    """Whether any line changed."""
    if not (amendment.lines or amendment.remove_lines or amendment.replace_lines):
        return False
    written, removed = plan_lines(order.id, amendment, now=now)
    dropped = removed.delete()[0] if removed is not None else 0
    OrderLine.objects.bulk_create(
        written, update_conflicts=True, unique_fields=["order", "line_no"], update_fields=LINE_FIELDS
    )
    if dropped and not OrderLine.objects.filter(order_id=order.id).exists():
        raise OrderWithoutLinesError(order_id=order.id)
    return bool(dropped or written)


def _unsent(order: Order) -> Event | None:
    """The event of a locked order, before it changes, if a bulk load placed it and it may not have been sent yet."""
    if order.version > 1 or order.import_id is None:
        return None
    with connection.cursor() as cursor:
        return pending_event(cursor, order.id)


def _tell(order: Order, event: str, source: str) -> None:
    with connection.cursor() as cursor:
        tell(cursor, orders=[(order.id, order.version)], type=event, source=source)


def _write(
    order: Order, event: str, source: str, *, now: datetime, values: Mapping[str, Any], unsent: Event | None
) -> None:
    """The next version of an order, told after the one that may not have been sent yet, and marked."""
    for name, value in {**values, "version": order.version + 1, "updated_at": now}.items():
        setattr(order, name, value)
    order.save(update_fields=[*values, "version", "updated_at"])
    if unsent is not None:
        with connection.cursor() as cursor:
            keep(cursor, unsent, source=source)
    _tell(order, event, source)
    orders_changed([order.id])


def _lock_item(sku: str, expected: Collection[str] | None) -> Item:
    item = Item.objects.select_for_update(no_key=True).filter(pk=sku).first()
    if item is None:
        raise ItemNotFoundError(sku=sku)
    if expected is not None and item_version(describe_item(item)) not in expected:
        raise ItemChangedError(sku=sku)
    return item


def _write_item(item: Item, values: Mapping[str, Any], *, now: datetime) -> None:
    if not values:
        return
    for name, value in {**values, "updated_at": now}.items():
        setattr(item, name, value)
    item.save(update_fields=[*values, "updated_at"])
    items_changed([item.sku])


def _same(present: Any, wanted: Any) -> bool:
    """Whether two values are one as JSON, where true is not 1."""
    return json.dumps(present, sort_keys=True, default=str) == json.dumps(wanted, sort_keys=True, default=str)
