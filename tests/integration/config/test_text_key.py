"""TextKeyField and its constraint against a real Postgres."""

import re
from collections.abc import Iterator

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, models, transaction
from django.db.utils import DataError
from django.test.utils import isolate_apps
from hypothesis import HealthCheck, given, settings, strategies as st

from config.kernel.fields import TEXT_KEY_PATTERN, TextKeyField, text_key_check

pytestmark = pytest.mark.django_db

GOOD = ["a", "0017", "Ünïcödé", "a b", "💧", "o/55.3", "-" * 128]
BAD = ["", " a", "a ", "a\n", "a\tb", "\x7f", "a\x85", "\u00a0a", "a\u3000", "a\u2028", "\x1fa"]


@pytest.fixture
def shelf() -> Iterator[type[models.Model]]:
    """Two tables with text keys, one pointing to the other."""
    with isolate_apps("orders"):

        class Shelf(models.Model):
            code = TextKeyField(primary_key=True)
            label = TextKeyField(max_length=40, unique=True, null=True, blank=True)

            class Meta:
                app_label = "orders"
                constraints = [text_key_check("code", name="shelf_code_valid")]

            def __str__(self) -> str:
                return str(self.pk)

        class Box(models.Model):
            shelf = models.ForeignKey(Shelf, on_delete=models.PROTECT)

            class Meta:
                app_label = "orders"

            def __str__(self) -> str:
                return str(self.pk)

        with connection.schema_editor(atomic=False) as editor:
            editor.create_model(Shelf)
            editor.create_model(Box)
        yield Shelf


def rows(statement: str) -> list[tuple[str, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found: list[tuple[str, ...]] = cursor.fetchall()
        return found


def test_columns_are_varchar_in_collation_c(shelf: type[models.Model]) -> None:
    found = rows(
        "SELECT table_name || '.' || column_name, data_type, character_maximum_length::text, collation_name "
        "FROM information_schema.columns WHERE table_name IN ('orders_shelf', 'orders_box') AND data_type <> 'bigint' "
        "ORDER BY 1"
    )
    assert found == [
        ("orders_box.shelf_id", "character varying", "128", "C"),
        ("orders_shelf.code", "character varying", "128", "C"),
        ("orders_shelf.label", "character varying", "40", "C"),
    ]


def test_there_is_one_index_a_key(shelf: type[models.Model]) -> None:
    found = rows("SELECT indexdef FROM pg_indexes WHERE tablename IN ('orders_shelf', 'orders_box')")
    columns = sorted(re.sub(r".*(orders_\w+) USING btree (\(.*\))", r"\1 \2", definition) for (definition,) in found)
    assert columns == ["orders_box (id)", "orders_box (shelf_id)", "orders_shelf (code)", "orders_shelf (label)"]


@pytest.mark.parametrize("key", GOOD)
def test_good_keys(shelf: type[models.Model], key: str) -> None:
    instance = shelf(code=key)
    instance.full_clean()
    instance.save(force_insert=True)


@pytest.mark.parametrize("key", BAD)
def test_bad_keys_are_refused_by_form_and_table(shelf: type[models.Model], key: str) -> None:
    with pytest.raises(ValidationError):
        shelf(code=key).full_clean()
    with pytest.raises(IntegrityError, match="shelf_code_valid"), transaction.atomic():
        shelf(code=key).save(force_insert=True)


def test_a_key_that_is_too_long(shelf: type[models.Model]) -> None:
    with pytest.raises(ValidationError):
        shelf(code="x" * 129).full_clean()
    with pytest.raises(DataError), transaction.atomic():
        shelf(code="x" * 129).save(force_insert=True)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6))
def test_python_and_postgres_agree_on_the_pattern(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s ~ %s", [text, TEXT_KEY_PATTERN])
        assert cursor.fetchone()[0] == bool(re.search(TEXT_KEY_PATTERN, text))


def test_the_models_in_use_have_no_like_indexes() -> None:
    found = rows("SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND indexname LIKE '%\\_like'")
    loaded = [name for (name,) in found if name.startswith(("accounts_user", "orders_", "outbox_"))]
    assert loaded == []
