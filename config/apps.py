from django.apps import AppConfig
from django_structlog import signals


class ConfigConfig(AppConfig):
    """Not an app with models: it registers the system checks of our settings, and what the log says of requests."""

    name = "config"

    def ready(self) -> None:
        from config import checks  # noqa: F401  (registers them)
        from config.broker import install_broker
        from config.middleware import describe_failed, describe_finished

        install_broker()
        signals.bind_extra_request_finished_metadata.connect(describe_finished)
        signals.bind_extra_request_failed_metadata.connect(describe_failed)
