"""Entry point of gunicorn."""

import os

from django.core.wsgi import get_wsgi_application

from config.kernel.api.keys import keep_encoded_slashes

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = keep_encoded_slashes(get_wsgi_application())
