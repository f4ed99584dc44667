"""Lists of users are served by indexes: nothing reads or sorts the whole table."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from accounts.models import User

pytestmark = pytest.mark.django_db

USERS = 100_000  # many times what a search may find: with fewer, reading them all is the cheapest plan
MAKE = """
INSERT INTO accounts_user (id, password, email, name, country, is_active, is_staff, is_superuser, version)
SELECT 'u' || n, '!', 'u' || n || '@example.com', CASE WHEN n %% 2 = 0 THEN 'Name ' || n ELSE '' END,
       CASE WHEN n %% 100 = 0 THEN 'Norway' WHEN n %% 100 < 50 THEN 'Chile' ELSE '' END, true, false, false, 1
FROM generate_series(1, %s) AS n
"""


@pytest.fixture(scope="module", autouse=True)
def many(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Committed, so that they can be vacuumed: what earlier tests left in the table must not sway the planner."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(MAKE, [USERS])
        cursor.execute(
            "INSERT INTO accounts_rolemembership (user_id, role_id, created_at)"
            " SELECT u.id, r.id, now() FROM accounts_user u, accounts_role r"
            " WHERE r.slug = 'integrator' AND u.id LIKE '%99'"
        )
        cursor.execute("VACUUM (ANALYZE) accounts_user, accounts_rolemembership")
        yield
        cursor.execute("DELETE FROM accounts_rolemembership")
        cursor.execute("SET session_replication_role = replica")  # nothing points to them; looking takes ten seconds
        cursor.execute("DELETE FROM accounts_user")
        cursor.execute("RESET session_replication_role")
        cursor.execute("VACUUM (ANALYZE) accounts_user, accounts_rolemembership")


def most_read(statement: str) -> float:
    """The largest number of users that a node of the plan really reads, counting those that it filters out."""

    def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
        return [plan, *(each for inner in plan.get("Plans", []) for each in nodes(inner))]

    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
        (found,) = cursor.fetchone()
    plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    seen = nodes(plan)
    return float(
        max((each["Actual Rows"] + each.get("Rows Removed by Filter", 0)) * each["Actual Loops"] for each in seen)
    )


def statements(queries: CaptureQueriesContext) -> list[str]:
    texts = [str(each["sql"]) for each in queries]
    return [text for text in texts if text.startswith("SELECT") and 'FROM "accounts_user"' in text]


@pytest.mark.parametrize(
    "query",
    ["", "ordering=-id", "ordering=name", "ordering=-name", "ordering=email", "country=Norway",
     "country=Norway&ordering=-id",
     "name=name 1", "name=nobody", "role=integrator", "role=admin", "q=u12", "q=name 7", "q=nobody",
     "email=u7@example.com"],
)  # fmt: skip
def test_page_reads_little(admin: APIClient, query: str) -> None:
    address = f"/users?limit=20&{query}"
    for _page in range(2):
        with CaptureQueriesContext(connection) as queries:
            answer = admin.get(address)
        assert answer.status_code == 200
        assert statements(queries)
        assert max(map(most_read, statements(queries))) <= 4_000
        address = answer.data["next"] or address


@pytest.mark.parametrize("query", ["q=u12", "q=name 7", "q=nobody", "role=integrator"])
def test_admin_reads_little(client: Client, query: str) -> None:
    client.force_login(User.objects.create_superuser("root", email="root@example.com", name="Root"))
    with CaptureQueriesContext(connection) as queries:
        assert client.get(f"/admin/accounts/user/?{query}").status_code == 200
    assert max(map(most_read, statements(queries))) <= 4_000
