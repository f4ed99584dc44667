"""gunicorn -c config/gunicorn.py config.wsgi"""

import os

bind = os.environ.get("BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_PROCESSES", "2"))
worker_class = "gthread"
threads = int(os.environ.get("WEB_THREADS", "8"))
worker_tmp_dir = "/dev/shm"  # noqa: S108 - a disk may block the heartbeat
# In gthread the main loop sends the heartbeat, so a long upload is not cut off by this.
timeout = 60
graceful_timeout = 25
keepalive = 75
# Its directory may be read-only.
control_socket_disable = True
