"""The database role that deploy/ makes is no superuser, and all of Sluice works with it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.conf import settings

from config.embedded.place import home_directory, place_open
from config.embedded.programs import postgres_program
from tests.conftest import Manage
from tests.flows.files import certificate_of, csv_text
from tests.integration.deploy.manifests import KUSTOMIZE

SCRIPT: Final = KUSTOMIZE / "base" / "postgres" / "create-role.sh"
ORDERS: Final = [("o1", "u1", "tea", 2), ("o1", "u1", "tin", 1), ("o2", "u2", "tea", 3)]
ROW_BY_ROW: Final = "may not set session_replication_role"

pytestmark = pytest.mark.skipif(
    bool(settings.DATABASE_URL), reason="the server that DATABASE_URL names has its own roles"
)


@pytest.fixture
def role(tmp_path: Path, database_url: str, connect: Callable[[], Any]) -> Iterator[str]:
    """Runs the script as the image's entrypoint would, under a name of the test's own; yields that name."""
    name = f"clerk_{os.getpid()}"
    server = urlsplit(database_url)
    password = tmp_path / "password"
    password.write_text("s3'cr\"et\n")
    psql = postgres_program(place_open(home_directory()), "psql")
    environment = {
        "PATH": f"{psql.parent}:{os.environ['PATH']}",
        "PGHOST": parse_qs(server.query)["host"][0],
        "POSTGRES_USER": str(server.username),
        "SLUICE_PASSWORD_FILE": str(password),
    }
    # The embedded server has a role of the real name.
    script = SCRIPT.read_text().replace("sluice", name)
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    yield name
    with connect().cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        cursor.execute(f"REVOKE SET ON PARAMETER session_replication_role FROM {name}")
        cursor.execute(f"DROP ROLE {name}")


@pytest.fixture
def clerk(role: str, database_url: str, tmp_path: Path) -> Iterator[Manage]:
    """Runs manage.py in the database that the script made, as the role that it made."""
    host = quote(parse_qs(urlsplit(database_url).query)["host"][0], safe="")
    manage = Manage(f"postgresql://{role}@/{role}?host={host}", tmp_path)
    yield manage
    manage.end()


def test_all_of_sluice_works_without_a_superuser(
    clerk: Manage, role: str, connect: Callable[[], Any], tmp_path: Path
) -> None:
    done = clerk("migrate", "--no-input", env={"PGOPTIONS": "-c lock_timeout=5s"})
    assert done.returncode == 0, done.stderr
    with connect().cursor() as cursor:
        cursor.execute("SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = %s", [role])
        assert cursor.fetchone() == (False, False, False)
    (tmp_path / "orders.csv").write_text(csv_text(ORDERS))
    done = clerk("ingest_csv", "orders.csv", "--json")
    assert certificate_of(done)["state"] == "completed"
    assert ROW_BY_ROW not in done.stderr
    assert clerk("verify_import", "1").returncode == 0
    # The one privilege that the script grants is what makes loads fast: without it they work, and say so.
    with connect().cursor() as cursor:
        cursor.execute(f"REVOKE SET ON PARAMETER session_replication_role FROM {role}")
    done = clerk("ingest_csv", "orders.csv", "--force", "--on-conflict", "skip")
    assert ROW_BY_ROW in done.stderr + done.stdout
