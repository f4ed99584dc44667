"""
gunicorn -c config/gunicorn.py config.wsgi

Web processes with threads: uploads wait for their clients most of the time, and in `gthread` the main thread sends the
heartbeat, so a long upload is not taken for a hanging process.
"""

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from config.multiprocess import metrics_directory

# Before anything imports prometheus_client, which looks at it once.
metrics_directory.prepare()
# Requests end before their clients give up; commands and workers may copy for minutes.
os.environ.setdefault("STATEMENT_TIMEOUT_SECONDS", "30")

from gunicorn.http import message  # noqa: E402

from config import request_bodies, settings  # noqa: E402 - a wrong setting ends the start here, not in every web process
from config.env import env_int, env_str  # noqa: E402

bind = env_str("BIND", "127.0.0.1:8000")
workers = env_int("WEB_PROCESSES", 2)
threads = env_int("WEB_THREADS", 8)
worker_class = "gthread"
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a disk may block the heartbeat
# Its directory may be read-only.
control_socket_disable = True

# Of the heartbeat; no limit to a request.
timeout = 60
# After SIGTERM requests may end; an upload keeps what arrived. A pod's grace has to be longer.
graceful_timeout = env_int("WEB_GRACEFUL_SECONDS", 25)
# Longer than the 60 s after which proxies drop idle connections: who closes first must not be us.
keepalive = 75

# A key of 128 characters can take 1,536 bytes in a path, a mapping of columns tens of thousands in a query. gunicorn
# allows 8,190 at most, whatever is set, but for this constant; `config.middleware` limits the path itself.
message.MAX_REQUEST_LINE = limit_request_line = 65_536
limit_request_fields = 100
limit_request_field_size = 8190

# Requests are logged once, by config.middleware, with their ids.
accesslog = None
logconfig_dict = settings.LOGGING


def on_starting(_server: Any) -> None:
    metrics_directory.forget_dead()


def post_worker_init(_worker: Any) -> None:
    from config.refusals import answer_with_problems  # needs Django, which is there by now

    answer_with_problems()


def pre_request(worker: Any, request: Any) -> None:
    request_bodies.watch(worker, request)


def post_request(_worker: Any, request: Any, _environ: Any, response: Any) -> None:
    request_bodies.end(request, response)


def child_exit(_server: Any, worker: Any) -> None:
    metrics_directory.mark_dead(worker.pid)


def on_exit(_server: Any) -> None:
    metrics_directory.remove()
