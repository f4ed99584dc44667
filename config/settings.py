"""
Settings, for all environments: they differ only by environment variables.

Local mode is when none of DATABASE_URL, REDIS_URL, KAFKA_BOOTSTRAP_SERVERS is set (SLUICE_LOCAL=0/1 overrides): then
a secret key is made, and logs are for people. A service without its variable is an embedded one.
"""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config import openapi
from config.database import parse_database_url, statement_timeout
from config.embedded.place import home_directory
from config.env import env_bool, env_float, env_int, env_list, env_str
from config.logging import configure_structlog, logging_settings
from config.secret import local_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
LOCAL_DIR = home_directory()

DATABASE_URL = env_str("DATABASE_URL")
REDIS_URL = env_str("REDIS_URL")  # "" = embedded, see config.embedded.redis_url
KAFKA_BOOTSTRAP_SERVERS = env_list("KAFKA_BOOTSTRAP_SERVERS")  # [] = embedded, see config.embedded.kafka_bootstrap

LOCAL = env_bool("SLUICE_LOCAL", default=not (DATABASE_URL or REDIS_URL or KAFKA_BOOTSTRAP_SERVERS))
# Off even in local mode: with it Django keeps the text of every query, and a load has very long ones.
DEBUG = env_bool("DEBUG", default=False)
SECRET_KEY = env_str("SECRET_KEY") or (local_secret_key(LOCAL_DIR) if LOCAL else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY (or SECRET_KEY_FILE) is required. Certificates are signed with it, so keep it. "
        "To try things out on your own machine, set SLUICE_LOCAL=1 instead: a key is then made and kept in .local/."
    )
SECRET_KEY_FALLBACKS = env_list("SECRET_KEY_FALLBACKS")  # former keys, still good for verifying

ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", default=("localhost", "127.0.0.1", "[::1]") if LOCAL else ())
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",  # its pages are loaded with the addresses: commands need none
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_prometheus",
    "django_structlog",
    "config.apps.ConfigConfig",
    "config.kernel",
    "accounts",
    "orders",
    "orders.outbox",
    "ingestion",
    "reports",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "config.middleware.RequestIdMiddleware",
    "config.middleware.RequestLogMiddleware",
    "config.middleware.ProbeMiddleware",
    "config.middleware.RefusalMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.middleware.RequestMetricsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Database
LOCAL_DATABASE: dict[str, Any] = {"ENGINE": "config.embedded.backend", "NAME": "sluice", "USER": "sluice"}
DATABASES: dict[str, dict[str, Any]] = {
    "default": {"ENGINE": "django_prometheus.db.backends.postgresql", **parse_database_url(DATABASE_URL)}
    if DATABASE_URL
    else LOCAL_DATABASE,
}
DATABASES["default"]["CONN_MAX_AGE"] = env_int("CONN_MAX_AGE", 60)  # seconds a web process keeps a connection
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
STATEMENT_TIMEOUT_SECONDS = env_int("STATEMENT_TIMEOUT_SECONDS", 0)  # 0 = none; set by config/gunicorn.py
DATABASES["default"] |= statement_timeout(DATABASES["default"], seconds=STATEMENT_TIMEOUT_SECONDS)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Cache. Values are JSON: a pickle would make whoever can write to Redis able to run code here. A slow Redis is
# treated as an absent one, because everything in the cache can be had from Postgres.
REDIS_TIMEOUT_SECONDS = env_float("REDIS_TIMEOUT_SECONDS", 0.1)
CACHE_KEY_PREFIX = env_str("CACHE_KEY_PREFIX", "sluice")
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache" if REDIS_URL else "config.embedded.cache.LocalRedisCache",
        "LOCATION": REDIS_URL or "unix:///resolved/when/used",
        "KEY_PREFIX": CACHE_KEY_PREFIX,
        "OPTIONS": {
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "SOCKET_CONNECT_TIMEOUT": REDIS_TIMEOUT_SECONDS,
            "SOCKET_TIMEOUT": REDIS_TIMEOUT_SECONDS,
            "IGNORE_EXCEPTIONS": True,
        },
    },
}
DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS = True
SESSION_ENGINE = "django.contrib.sessions.backends.db"

# Tasks: messages are wake-ups for rows in Postgres. In production a Redis of their own that evicts nothing.
TASKS_REDIS_URL = env_str("TASKS_REDIS_URL", REDIS_URL)  # "" = embedded, see config.broker
TASKS_NAMESPACE = env_str("TASKS_NAMESPACE", "sluice-tasks")
# config.worker sets 2: a worker may wait longer than a request.
TASKS_REDIS_TIMEOUT_SECONDS = env_float("TASKS_REDIS_TIMEOUT_SECONDS", REDIS_TIMEOUT_SECONDS)

# Kafka
KAFKA_TOPIC_PREFIX = env_str("KAFKA_TOPIC_PREFIX")  # before the names of our topics
KAFKA_SECURITY_PROTOCOL = env_str("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT").upper()
KAFKA_SASL_MECHANISM = env_str("KAFKA_SASL_MECHANISM").upper()
KAFKA_SASL_USERNAME = env_str("KAFKA_SASL_USERNAME")
KAFKA_SASL_PASSWORD = env_str("KAFKA_SASL_PASSWORD")
KAFKA_SSL_CAFILE = env_str("KAFKA_SSL_CAFILE")  # "" = the authorities that this machine trusts
KAFKA_SSL_CERTFILE = env_str("KAFKA_SSL_CERTFILE")
KAFKA_SSL_KEYFILE = env_str("KAFKA_SSL_KEYFILE")
KAFKA_REPLICATION_FACTOR = env_int("KAFKA_REPLICATION_FACTOR", 0)  # of new topics; 0 = the broker's default

# The outbox
OUTBOX_PRODUCER = env_str("OUTBOX_PRODUCER", "kafka-python").lower()  # or confluent
OUTBOX_LEASE_SECONDS = env_float("OUTBOX_LEASE_SECONDS", 15)  # for which a relay that died keeps its lanes
# Without any acknowledgement for so long, a relay that has sent something exits, to be started again.
OUTBOX_STALL_SECONDS = env_float("OUTBOX_STALL_SECONDS", 120)
EVENT_SOURCE = env_str("EVENT_SOURCE", "/sluice")  # `ce_source` of all events

# Files
MEDIA_ROOT = env_str("MEDIA_ROOT", str(LOCAL_DIR / "media"))
UPLOADS_S3_BUCKET = env_str("UPLOADS_S3_BUCKET")  # "" = files below MEDIA_ROOT/uploads, which all processes must share
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": MEDIA_ROOT}},
    "uploads": {
        "BACKEND": "ingestion.uploads.s3.S3SegmentStorage",
        "OPTIONS": {
            "bucket_name": UPLOADS_S3_BUCKET,
            "endpoint_url": env_str("UPLOADS_S3_ENDPOINT_URL") or None,  # none = Amazon's
            "region_name": env_str("UPLOADS_S3_REGION") or None,
            # Without a key boto3 looks where it always does (environment, files, the machine's role).
            "access_key": env_str("UPLOADS_S3_ACCESS_KEY") or None,
            "secret_key": env_str("UPLOADS_S3_SECRET_KEY") or None,
            "location": env_str("UPLOADS_S3_PREFIX"),
            "addressing_style": env_str("UPLOADS_S3_ADDRESSING_STYLE") or None,  # "path" for many S3-compatible servers
        },
    }
    if UPLOADS_S3_BUCKET
    else {
        "BACKEND": "ingestion.uploads.storage.FileSystemSegmentStorage",
        "OPTIONS": {"location": str(Path(MEDIA_ROOT) / "uploads")},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATIC_URL = "static/"
STATIC_ROOT = env_str("STATIC_ROOT", str(LOCAL_DIR / "static" if LOCAL else BASE_DIR / "staticfiles"))
# In local mode the files of the apps are served as they are; elsewhere `collectstatic` has compressed and named them.
WHITENOISE_USE_FINDERS = LOCAL
if LOCAL:
    Path(STATIC_ROOT).mkdir(parents=True, exist_ok=True)
else:
    STORAGES["staticfiles"]["BACKEND"] = "whitenoise.storage.CompressedManifestStaticFilesStorage"

# People
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.RoleBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["config.kernel.api.permissions.RolePermission"],
    "DEFAULT_PARSER_CLASSES": ["config.kernel.api.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "config.kernel.api.pagination.KeysetPagination",
    "DEFAULT_SCHEMA_CLASS": "config.kernel.api.schema.Schema",
    "DEFAULT_THROTTLE_CLASSES": ["config.kernel.api.throttling.WriteThrottle"],
    # Proxies in front of us that append to X-Forwarded-For; with 0 the header, which anybody can write, is not read.
    "NUM_PROXIES": env_int("NUM_PROXIES", 0),
    "EXCEPTION_HANDLER": "config.kernel.api.problems.exception_handler",
    "COERCE_DECIMAL_TO_STRING": True,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
# How often, as number/seconds; "" = any number. See config.kernel.api.throttling.
THROTTLE_RATES = {
    "writes": env_str("THROTTLE_WRITES", "6000/60"),  # of one user
    "logins-address": env_str("THROTTLE_LOGINS_ADDRESS", "60/300"),
    "logins-email": env_str("THROTTLE_LOGINS_EMAIL", "10/300"),
    "bad-tokens": env_str("THROTTLE_BAD_TOKENS", "600/60"),  # of one address
}
TOKEN_TTL_HOURS = env_int("TOKEN_TTL_HOURS", 24 * 30)
TOKEN_MAX_TTL_HOURS = env_int("TOKEN_MAX_TTL_HOURS", 24 * 366)
REST_KNOX = {
    "AUTH_HEADER_PREFIX": "Bearer",
    "TOKEN_TTL": timedelta(hours=TOKEN_TTL_HOURS),
    "AUTO_REFRESH": False,
}
SPECTACULAR_SETTINGS = openapi.SETTINGS

# Uploads
UPLOAD_SEGMENT_BYTES = env_int("UPLOAD_SEGMENT_BYTES", 64 << 20)
UPLOAD_MAX_BYTES = env_int("UPLOAD_MAX_BYTES", 1 << 40)  # of one upload
UPLOAD_QUOTA_BYTES = env_int("UPLOAD_QUOTA_BYTES", 1 << 41)  # of all that one user has stored
UPLOAD_IDLE_SECONDS = env_int("UPLOAD_IDLE_SECONDS", 60)  # without a byte: what arrived is kept, the request ends
# How long a request waits for another one that writes to the same upload, before it takes the upload from it.
UPLOAD_YIELD_SECONDS = env_float("UPLOAD_YIELD_SECONDS", 5)
UPLOAD_UNFINISHED_HOURS = env_int("UPLOAD_UNFINISHED_HOURS", 24)  # since its last byte
UPLOAD_FINISHED_DAYS = env_int("UPLOAD_FINISHED_DAYS", 30)

# Reports
EVENT_HISTORY_DAYS = env_int("EVENT_HISTORY_DAYS", 90)  # how long it is known where an order's events were read

# Outbox
OUTBOX_EXPAND = "orders.events.expand"  # what makes events of (order id, version): the outbox knows no orders
OUTBOX_RETENTION_DAYS = env_int("OUTBOX_RETENTION_DAYS", 7)  # how long acknowledged entries are kept
# Bulk imports wait between chunks while what they wrote is published later than this, in seconds; 0 = they never do.
OUTBOX_MAX_LAG_SECONDS = env_float("OUTBOX_MAX_LAG_SECONDS", 0) or None

# Language and time
LANGUAGE_CODE = "en"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# Security behind a proxy that ends TLS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env_bool("BEHIND_TLS_PROXY", default=False) else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not LOCAL
CSRF_FAILURE_VIEW = "config.refusals.csrf_failure"
SECURE_HSTS_SECONDS = env_int("SECURE_HSTS_SECONDS", 0)

# Logs
LOG_JSON = env_bool("LOG_JSON", default=not LOCAL)
# People at a terminal are told by the commands themselves what happens.
LOG_LEVEL = env_str("LOG_LEVEL", "WARNING" if LOCAL else "INFO").upper()
LOGGING = logging_settings(json=LOG_JSON, level=LOG_LEVEL)
configure_structlog()
# The id of a request is its sender's (checked in config.middleware); addresses of people are not logged.
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = True
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_STATUS_4XX_LOG_LEVEL = logging.INFO
