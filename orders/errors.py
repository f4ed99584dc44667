"""Why orders and items refuse: one class for each reason."""

from config.kernel.errors import ApplicationError


class OrderNotFoundError(ApplicationError):
    code, status = "not_found", 404
    message = "There is no order {order_id!r}, or none that you may see."


class OrderExistsError(ApplicationError):
    code, status = "order_exists", 409
    message = "An order {order_id!r} exists already. Change that one, or give the new one another id."


class UnknownUserError(ApplicationError):
    code, status = "unknown_user", 400
    message = "There is no user {user_id!r}. Create the user first."


class OutsideRegionError(ApplicationError):
    code, status = "outside_region", 403
    message = "Your roles do not reach orders of the country {country!r}. Give a country of your regions."


class OrderChangedError(ApplicationError):
    code, status = "precondition_failed", 412
    message = "Order {order_id!r} has version {version} by now. Read it again, then repeat your change."


class OrderNotAmendableError(ApplicationError):
    code, status = "order_not_amendable", 409
    message = "Order {order_id!r} is {order_status}; only a placed or paid order can be amended."


class OrderNotCancellableError(ApplicationError):
    code, status = "order_not_cancellable", 409
    message = "Order {order_id!r} is {order_status}; only a placed or paid order can be cancelled."


class TransitionNotAllowedError(ApplicationError):
    code, status = "transition_not_allowed", 409
    message = "Order {order_id!r} is {order_status} and cannot become {wanted}. Possible next: {possible}."


class OrderWithoutLinesError(ApplicationError):
    code, status = "order_without_lines", 400
    message = "An order keeps at least one line. Cancel order {order_id!r} instead."


class RepeatedLineError(ApplicationError):
    code, status = "duplicate_line", 400
    message = "Line {line_no} is given twice. Number the lines of an order apart."


class UnknownLineError(ApplicationError):
    code, status = "unknown_line", 400
    message = "The order has no line {line_no} to remove."


class IncompleteLineError(ApplicationError):
    code, status = "incomplete_line", 400
    message = "Line {line_no} is new, so it needs an item (sku or item) and a quantity."


class LineNumbersUsedUpError(ApplicationError):
    code, status = "out_of_range", 400
    message = "There is no line number after {line_no}. Give the new lines numbers of their own."


class TooManyToSortError(ApplicationError):
    code, status = "too_many_to_sort", 400
    message = (
        "About {rows:,} orders match, and at most {limit:,} are sorted by {ordering}. Give user_id or import_id, or a "
        "narrower range of created_at or ordered_at; or take ordering=id."
    )


class ItemNotFoundError(ApplicationError):
    code, status = "not_found", 404
    message = "There is no item {sku!r}."


class ItemExistsError(ApplicationError):
    code, status = "item_exists", 409
    message = "An item {sku!r} exists already. Change that one, or give the new one another sku."


class ItemRetiredError(ApplicationError):
    code, status = "item_retired", 409
    message = "Item {sku!r} is retired and cannot be ordered any more."


class ItemChangedError(ApplicationError):
    code, status = "precondition_failed", 412
    message = "Item {sku!r} was changed meanwhile. Read it again, then repeat your change."
