"""Lines of an order: their numbers, their items, their prices. Called inside the transaction of a service."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db.models import QuerySet

from orders.drafts import UNSET, Amendment, LineDraft
from orders.errors import (
    IncompleteLineError,
    ItemRetiredError,
    LineNumbersUsedUpError,
    RepeatedLineError,
    UnknownLineError,
)
from orders.models import Item, OrderLine

MAX_LINE_NO: Final = 2**53 - 1
"""The largest whole number that every reader of JSON gets right."""


@dataclass(frozen=True, slots=True)
class NumberedLine:
    """A draft that has its number."""

    line_no: int
    draft: LineDraft


def number_lines(drafts: Sequence[LineDraft], *, after: int) -> list[NumberedLine]:
    """
    Give lines without a number the next ones after the highest.

    Args:
        after: the highest number that the order has already; 0: none.
    Raises:
        RepeatedLineError: a number is given twice.
        LineNumbersUsedUpError: there is none left.
    """
    given = [draft.line_no for draft in drafts if draft.line_no is not None]
    if len(set(given)) < len(given):
        raise RepeatedLineError(line_no=next(number for number in given if given.count(number) > 1))
    last = max(after, *given) if given else after
    numbered = []
    for draft in drafts:
        if draft.line_no is None:
            last += 1
        numbered.append(NumberedLine(draft.line_no or last, draft))
    if last > MAX_LINE_NO:
        raise LineNumbersUsedUpError(line_no=MAX_LINE_NO)
    return numbered


def items_ready(skus: Iterable[str], *, now: datetime) -> dict[str, Item]:
    """
    The items of these skus; those that do not exist are made, with the sku as their name.

    Two that make the same item at once: the second waits for the first one's commit and takes its item. New items are
    written in the order of their keys, here as in imports, so that nobody waits in a circle.
    """
    wanted = set(skus)
    found = Item.objects.in_bulk(wanted)
    missing = sorted(wanted - found.keys())
    if missing:
        made = [Item(sku=sku, name=sku, created_at=now, updated_at=now) for sku in missing]
        Item.objects.bulk_create(made, ignore_conflicts=True)
        found |= Item.objects.in_bulk(missing)
    return found


def orderable_items(skus: Iterable[str], *, now: datetime) -> dict[str, Item]:
    """
    As `items_ready`.

    Raises:
        ItemRetiredError: one of them is.
    """
    items = items_ready(skus, now=now)
    for sku, item in sorted(items.items()):
        if item.retired_at is not None:
            raise ItemRetiredError(sku=sku)
    return items


def new_line(order_id: str, line: NumberedLine, items: dict[str, Item]) -> OrderLine:
    """
    A line to be inserted.

    Raises:
        IncompleteLineError: it has no item or quantity.
    """
    draft = line.draft
    if draft.sku is None or draft.quantity is None:
        raise IncompleteLineError(line_no=line.line_no)
    price = items[draft.sku].list_price if draft.unit_price is UNSET or draft.unit_price is None else draft.unit_price
    return OrderLine(
        order_id=order_id, line_no=line.line_no, item_id=draft.sku, quantity=draft.quantity, unit_price=price
    )


def changed_line(present: OrderLine, draft: LineDraft, items: dict[str, Item]) -> OrderLine | None:
    """
    An existing line as it is wanted; None: it is so already.

    The changed line is nobody's import's any more.
    """
    sku = draft.sku or present.item_id
    price: Decimal | None
    if draft.unit_price is UNSET:
        price = present.unit_price if sku == present.item_id else items[sku].list_price
    else:
        price = draft.unit_price
    wanted = OrderLine(
        order_id=present.order_id,
        line_no=present.line_no,
        item_id=sku,
        quantity=present.quantity if draft.quantity is None else draft.quantity,
        unit_price=price,
    )
    same = all(getattr(wanted, name) == getattr(present, name) for name in ("item_id", "quantity", "unit_price"))
    return None if same else wanted


def plan_lines(
    order_id: str, amendment: Amendment, *, now: datetime
) -> tuple[list[OrderLine], QuerySet[OrderLine] | None]:
    """
    What an amendment does to the lines of a locked order.

    Returns:
        lines to be inserted or, where the number exists, updated; and those to be deleted.
    Raises:
        RepeatedLineError, UnknownLineError, IncompleteLineError, ItemRetiredError, LineNumbersUsedUpError.
    """
    lines = OrderLine.objects.filter(order_id=order_id)
    # Lines that replace all others are numbered from 1, so that doing it twice changes nothing.
    highest = None if amendment.replace_lines else lines.order_by("-line_no").values_list("line_no", flat=True).first()
    numbered = number_lines(amendment.lines, after=highest or 0)
    numbers = [line.line_no for line in numbered]
    removed = _removed(lines, amendment, numbers)
    present = {line.line_no: line for line in lines.filter(line_no__in=numbers)}
    # A line may keep an item that was retired meanwhile.
    wanted = {line.draft.sku for line in numbered if _item_is_new(present.get(line.line_no), line.draft)}
    items = orderable_items((sku for sku in wanted if sku is not None), now=now)
    written = [
        changed_line(present[line.line_no], line.draft, items)
        if line.line_no in present
        else new_line(order_id, line, items)
        for line in numbered
    ]
    return [line for line in written if line is not None], removed


def _item_is_new(present: OrderLine | None, draft: LineDraft) -> bool:
    return present is None or draft.sku not in (None, present.item_id)


def _removed(lines: QuerySet[OrderLine], amendment: Amendment, numbers: list[int]) -> QuerySet[OrderLine] | None:
    for number in amendment.remove_lines:
        if number in numbers:
            raise RepeatedLineError(line_no=number)
    found = set(lines.filter(line_no__in=amendment.remove_lines).values_list("line_no", flat=True))
    for number in sorted(set(amendment.remove_lines) - found):
        raise UnknownLineError(line_no=number)
    if amendment.replace_lines:
        return lines.exclude(line_no__in=numbers)
    return lines.filter(line_no__in=found) if found else None
