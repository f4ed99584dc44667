"""django-import-export in its bulk mode, with the parents made on the way, as its documentation suggests."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from benchmarks.contenders.contender import Contender
from benchmarks.contenders.in_django import measured_module, timed_main

BATCH_RECORDS: Final = 1_000


def import_export(*, records: int, rounds: int) -> Contender:
    """One process; order lines are made in bulk, users, items and orders one by one where they are missing."""
    try:
        name, obstacle = f"django-import-export {version('django-import-export')}", None
    except PackageNotFoundError:
        name, obstacle = "django-import-export", "django-import-export is not installed"
    return Contender(
        "import_export", f"{name}, bulk mode", measured_module(__name__), records, rounds, obstacle=obstacle
    )


def load(path: Path) -> None:
    """Load a file as a dataset."""
    from tablib import Dataset  # type: ignore[import-untyped,unused-ignore]

    dataset = Dataset().load(path.read_text(encoding="utf-8"), format="csv")
    dataset.append_col([str(number) for number in range(1, dataset.height + 1)], header="line_no")
    _resource().import_data(dataset, raise_errors=True)


def _resource() -> Any:
    from import_export import fields, resources
    from import_export.widgets import ForeignKeyWidget

    from accounts.models import User
    from orders.models import Item, Order, OrderLine

    class OrderLineResource(resources.ModelResource):  # type: ignore[misc,unused-ignore]
        order_id = fields.Field("order", "order_id", ForeignKeyWidget(Order, "id"))
        sku = fields.Field("item", "sku", ForeignKeyWidget(Item, "sku"))

        class Meta:
            model = OrderLine
            fields = ("order_id", "sku", "line_no", "quantity", "unit_price")
            import_id_fields = ("order_id", "line_no")
            use_bulk = True
            batch_size = BATCH_RECORDS
            skip_diff = True
            use_transactions = True

        def before_import_row(self, row: Any, **_: Any) -> None:
            User.objects.get_or_create(
                id=row["user_id"],
                defaults={"email": row["user_email"], "name": row["user_name"], "password": "!"},
            )
            Item.objects.get_or_create(sku=row["sku"], defaults={"name": row["item_name"]})
            header = {name: row[name] for name in ("user_id", "ordered_at", "country", "currency")}
            Order.objects.get_or_create(id=row["order_id"], defaults=header)

    return OrderLineResource()


if __name__ == "__main__":
    timed_main(load)
