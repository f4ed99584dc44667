"""The settings as a process sees them that starts with given variables."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from django.core.checks import CheckMessage
from pytest_django import Settings

from config.checks import embedded_services, limits, local_mode, shared_servers
from tests import preloaded

CHECKOUT = Path(__file__).resolve().parents[3]
OURS = (
    "DATABASE_URL",
    "REDIS_URL",
    "KAFKA_BOOTSTRAP_SERVERS",
    "SECRET_KEY",
    "SECRET_KEY_FILE",
    "DEBUG",
    "SLUICE_LOCAL",
)


def start(tmp_path: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    environment |= {
        "SLUICE_LOCAL_DIR": str(tmp_path / "local"),
        "DJANGO_SETTINGS_MODULE": "config.settings",
    } | variables
    return preloaded.run(["-c", script], cwd=CHECKOUT, env=environment, timeout=60)


def test_outside_local_mode_a_secret_key_is_required(tmp_path: Path) -> None:
    done = start(tmp_path, "import config.settings", DATABASE_URL="postgresql://db/shop")
    assert done.returncode != 0
    assert "SECRET_KEY (or SECRET_KEY_FILE) is required" in done.stderr
    assert not (tmp_path / "local").exists()


def test_local_mode_makes_a_key_and_keeps_it(tmp_path: Path) -> None:
    script = "from config import settings; print(settings.SECRET_KEY, settings.LOCAL)"
    first, second = start(tmp_path, script), start(tmp_path, script)
    assert first.stdout == second.stdout != ""
    assert first.stdout.endswith(" True\n")
    assert (tmp_path / "local/secret_key").stat().st_mode & 0o077 == 0


def test_named_servers_are_used_and_nothing_is_embedded(tmp_path: Path) -> None:
    script = """
import json
from config import settings
database, cache = settings.DATABASES["default"], settings.CACHES["default"]
print(json.dumps([database["ENGINE"], database["HOST"], cache["BACKEND"], cache["LOCATION"], settings.DEBUG]))
"""
    done = start(
        tmp_path, script, DATABASE_URL="postgresql://db/shop", REDIS_URL="redis://cache/1",
        KAFKA_BOOTSTRAP_SERVERS="k:9092", SECRET_KEY="s",
    )  # fmt: skip
    engine = "django_prometheus.db.backends.postgresql"
    assert json.loads(done.stdout) == [engine, "db", "django_redis.cache.RedisCache", "redis://cache/1", False]


LOG = """
import django, logging, structlog
django.setup()
structlog.get_logger("ingestion.x").info("chunk_merged", rows=2)
logging.getLogger("ingestion.y").warning("plain %s", "words", extra={"chunk": 3})
"""


def test_logs_go_to_standard_error_as_json_in_production(tmp_path: Path) -> None:
    done = start(tmp_path, LOG, DATABASE_URL="postgresql://db/shop", SECRET_KEY="s")
    assert done.stdout == ""
    first, second = map(json.loads, done.stderr.splitlines())
    assert (first["event"], first["rows"], first["level"], first["logger"]) == (
        "chunk_merged",
        2,
        "info",
        "ingestion.x",
    )
    assert (second["event"], second["chunk"]) == ("plain words", 3)


def test_logs_are_for_people_in_local_mode(tmp_path: Path) -> None:
    done = start(tmp_path, LOG, LOG_LEVEL="INFO")
    assert done.stdout == ""
    assert "chunk_merged" in done.stderr
    assert not done.stderr.startswith("{")


def test_local_commands_speak_for_themselves(tmp_path: Path) -> None:
    done = start(tmp_path, LOG)
    assert "plain words" in done.stderr
    assert "chunk_merged" not in done.stderr


def ids(messages: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def test_a_deployment_with_embedded_services_is_an_error(settings: Settings) -> None:
    settings.DATABASE_URL, settings.REDIS_URL, settings.KAFKA_BOOTSTRAP_SERVERS = "postgresql://db/x", "", []
    assert ids(embedded_services()) == ["sluice.E002", "sluice.E003"]
    settings.REDIS_URL, settings.KAFKA_BOOTSTRAP_SERVERS = "redis://r", ["k:9092"]
    assert ids(embedded_services()) == []


@pytest.mark.parametrize(
    ("local", "debug", "hosts", "expected"),
    [
        (True, True, ["*"], ["sluice.W001"]),
        (False, True, ["a.example"], ["sluice.W002"]),
        (False, False, [], ["sluice.W003"]),
        (False, False, ["a.example"], []),
        (True, True, ["localhost"], []),
    ],
)
def test_bad_combinations(settings: Settings, local: bool, debug: bool, hosts: list[str], expected: list[str]) -> None:
    settings.LOCAL, settings.DEBUG, settings.ALLOWED_HOSTS = local, debug, hosts
    assert ids(local_mode()) == expected


def test_an_upload_that_no_quota_allows(settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES, settings.UPLOAD_QUOTA_BYTES = 2, 1
    assert ids(limits()) == ["sluice.W004"]
    settings.UPLOAD_QUOTA_BYTES = 2
    assert ids(limits()) == []


def test_a_proxy_that_is_not_believed(settings: Settings) -> None:
    settings.LOCAL, settings.CSRF_TRUSTED_ORIGINS = False, ["https://a.example"]
    settings.SECURE_PROXY_SSL_HEADER = None
    assert ids(limits()) == ["sluice.W005"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert ids(limits()) == []


def test_what_replicas_share(settings: Settings) -> None:
    settings.REDIS_URL = settings.TASKS_REDIS_URL = "redis://cache"
    settings.UPLOADS_S3_BUCKET = ""
    assert ids(shared_servers()) == ["sluice.W006", "sluice.W007"]
    settings.TASKS_REDIS_URL, settings.UPLOADS_S3_BUCKET = "redis://tasks", "uploads"
    assert ids(shared_servers()) == []


@pytest.mark.parametrize(
    ("role", "expected"),
    [("web", "-c statement_timeout=30000 -c lock_timeout=10000"), ("command", None)],
)
def test_only_web_processes_have_a_statement_timeout(tmp_path: Path, role: str, expected: str | None) -> None:
    load = "import runpy; runpy.run_path('config/gunicorn.py')" if role == "web" else "pass"
    script = f"""
{load}
import json
from config import settings
print(json.dumps(settings.DATABASES["default"]["OPTIONS"].get("options")))
"""
    done = start(tmp_path, script, DATABASE_URL="postgresql://db/shop", SECRET_KEY="s")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


def test_static_files_are_named_by_their_content_in_production(tmp_path: Path) -> None:
    script = "from config.settings import *; print(STORAGES['staticfiles']['BACKEND'], SESSION_COOKIE_SECURE)"
    done = start(tmp_path, script, DATABASE_URL="postgresql://db/shop", SECRET_KEY="s")
    assert done.stdout == "whitenoise.storage.CompressedManifestStaticFilesStorage True\n"
    done = start(tmp_path, script)
    assert done.stdout == "django.contrib.staticfiles.storage.StaticFilesStorage False\n"
